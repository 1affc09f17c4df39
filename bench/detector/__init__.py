"""The common detector, FQDet: backbone -> neck -> selected anchors -> decoder -> `Detections` (Sec. 3.1, 4.1).

    backbone   ResNet50 (ImageNet, partly frozen) or SmallResNet: images -> C2..C5
    fpn        FPN: C2..C5 -> pyramid P2..P7; deform_encoder: the stronger neck DeformEncoder
    anchors    nine boxes per pyramid cell;  boxes: their deltas
    selector   which anchors become queries
    decoder    queries look at the pyramid (deformable attention) and at each other
    fqdet      the detector itself, its FQDetOutput in output;  detect: its inference rule;  losses: its training
    fqdetv2    the second version: other parts on the same walk;  quality_losses: its training
    torchvision, torchvision_v2   detectors made of torchvision's parts, on its own pyramid (TorchvisionFPN in fpn)

Shapes in this package: B images, N anchors or cells of all levels (level-major), Q queries of an image, C channels,
L levels, P points. Boxes are xyxy in input pixels, in at least 32 bits, and may reach outside the image.
"""
