"""Tools for artefacts: a contract as a page, proven, attached, as a schema."""
