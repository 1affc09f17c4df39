"""Glyphs: an embedded data set of pictographs, on which the claims about fine masks can be tested on a laptop.

    font       twenty classes, as outlines from the font that matplotlib ships
    shape      an outline bent, sheared, turned, scaled and placed
    raster     an outline filled, with 4 x 4 samples per pixel
    texture    surfaces of objects and grounds
    scene      one image with exact masks, from a seed and an index
    annotator  the coarse polygons of the same objects
    dataset    samples for training, made on the fly
    files      images and annotations in COCO's layout

Every object has two annotations, as those of COCO's images have in COCO and in LVIS: a coarse one by a few corners, and
a fine one, the exact mask.
"""

from bench.glyphs.dataset import SEEDS, GlyphDataset, Split
from bench.glyphs.files import write
from bench.glyphs.font import CATEGORIES
from bench.glyphs.scene import VERSION, Scene, SceneObject, scene

__all__ = ["CATEGORIES", "SEEDS", "VERSION", "GlyphDataset", "Scene", "SceneObject", "Split", "scene", "write"]
