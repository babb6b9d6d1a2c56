"""Human demonstrations: importers of recorded datasets, a parametric generator, and the clips of the cache."""

from dexhot.datasets.library import ClipInfo, list_clips, list_datasets, load_clip, split_clips, splits, unseen_halves

__all__ = ["ClipInfo", "list_clips", "list_datasets", "load_clip", "split_clips", "splits", "unseen_halves"]
