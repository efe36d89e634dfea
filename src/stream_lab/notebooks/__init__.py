"""Running notebooks: papermill in a worker process, and the whole investigation with its report."""
