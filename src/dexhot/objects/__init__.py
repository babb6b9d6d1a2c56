"""Objects: their asset and library, shapes, symmetry."""

from dexhot.objects.asset import ObjectAsset, Symmetry
from dexhot.objects.library import list_objects, load_object, save_object

__all__ = ["ObjectAsset", "Symmetry", "list_objects", "load_object", "save_object"]
