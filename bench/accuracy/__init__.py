"""AP, AP* and boundary AP of a COCO results file, exact, with intervals: one engine on numpy and pycocotools' masks.

    annotation file -> ground_truth.GroundTruth  (lvis files become COCO's classes in cocofy)
    results file    -> results_file, joining     (what tools write, and which images and classes it is about)
                    -> predictions.Predictions   (strict: bad input is an error that names its place)
    ... or a list   -> predictions.from_results  (results that a Python program holds in memory)
    both            -> one_class                 (only where classes are not to count)
                    -> selection, overlap        (what takes part under a protocol, and which pairs overlap)
                    -> matching.Matches          (who matched whom; the one table everything comes from)
    ... at 0.5      -> errors, gains             (what is wrong with each, and the AP that each kind of error costs)
                    -> confusion, outlines       (what is taken for what, and how well found objects are drawn)
    Matches         -> average_precision         (AP, per class, per size, precision-recall curves)
                    -> cap                       (objects that no predictions under the cap can find)
                    -> weighted, bootstrap       (the same with weights on the images: intervals, comparisons)

`protocol` holds the rules, `analysis` makes rows of what errors tell, `evaluate` goes all the way from files, or
results in memory, to a record, `verify` asks the official libraries.

Data are columns, one numpy array per field: no dict per detection. Imports no torch.
"""
