"""From files to samples: pictures, annotations of COCO and LVIS, masks, augmentation, batches."""
