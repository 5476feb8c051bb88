"""Parts of the benchmark of detection: faces of known sizes in large pictures."""
