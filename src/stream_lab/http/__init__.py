"""HTTP for the laboratory: one client factory, one record of an answer, HTML pages."""
