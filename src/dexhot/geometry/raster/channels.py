"""The channels of the rasteriser's masks, which are the labels of its faces too. Evidence's labels (data/labels) have
another order."""

LEFT, RIGHT, OBJECT = 1, 2, 3  # 0: the background
CHANNELS = {"left": LEFT, "right": RIGHT, "object": OBJECT}
