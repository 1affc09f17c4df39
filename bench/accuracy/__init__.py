"""AP, AP* and boundary AP of a COCO results file, exact, with intervals: one engine on numpy and pycocotools' masks.

    annotation file -> ground_truth.GroundTruth  (lvis files become COCO's classes in cocofy)
    results file    -> predictions.Predictions   (strict: bad input is an error that names its place)
    ScoringProtocol -> matching.Matches          (who matched whom, per image; the one table everything comes from)
    Matches         -> average_precision         (AP, per class, per size, precision-recall curves)
                    -> bootstrap                 (the same with weights on the images: intervals, comparisons)

Data are columns, one numpy array per field: no dict per detection. Imports no torch.
"""
