"""What a process tells of itself: lines of its log as JSON, traces of its requests."""
