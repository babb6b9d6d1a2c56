"""A differentiable rasteriser in Warp: label masks, colours, depth and visible faces of meshes, with gradients."""
