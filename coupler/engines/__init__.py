"""Engines: what runs an artefact."""
