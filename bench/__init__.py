"""Everything held fixed: detector, data, protocols, probes, records.

`detector/` is the common detector, `data` reads images and annotations, `model` walks from images to masks, `probes/`
measure one thing each, `recipes` list what to measure, `plan` measures what is missing, `record` and `store` keep it.
"""
