"""What is needed to see the same on a machine with a GPU; README.md tells how."""
