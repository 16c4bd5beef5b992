"""Training: from a data set and a namelist to an artefact."""
