"""Arrays in, arrays out: faces, points, geometry, pose, quality, occlusion."""
