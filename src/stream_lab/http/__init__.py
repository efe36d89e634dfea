"""HTTP as the laboratory uses it: one client factory with one TLS policy, one record of what came over the wire, HTML pages."""
