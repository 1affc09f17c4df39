"""Examples of every verb, as its help shows them below the options. A test reads each of them as a command line."""

from collections.abc import Sequence

EXAMPLES: dict[str, tuple[str, ...]] = {
    "run": (
        "run heads --probes params flops            # Table 4's costs: no data, no weights",
        "run demo --dry-run                         # what is in the store and what is to do",
        "run main --coco coco --images 100          # Table 3: parameters, GMACs, FPS",
        "run main --probes accuracy --coco coco --lvis lvis_v0.5_val.json --weights weights --device cuda",
        "run published --coco coco --lvis lvis_v0.5_val.json --weights weights --images 500   # imported models",
        "run oracle --data mine --weights weights   # a data set of one's own",
        "run sparsity --backends sps sps:reference  # kernels are named after a colon",
        "run my_package.recipes:ablation --json -   # a recipe of one's own, records as lines",
    ),
    "list": (
        "list             # everything that has a name",
        "list recipes     # with the cells of each, as compare and explain take them",
    ),
    "doctor": (
        "doctor               # installation, machine, weights",
        "doctor --data mine   # and what is recognised in a folder from an annotation tool, and what is wrong with it",
        "doctor --coco coco   # and whether every image is there",
    ),
    "certify": (
        "certify                                   # every backend and kernel",
        "certify --backends sps sps:reference      # only these",
    ),
    "evaluate": (
        "evaluate --predictions mine.json --coco-annotations instances_val2017.json",
        "evaluate --predictions mine.json --data mine          # the annotations of its validation part",
        "evaluate --predictions mine.json --lvis-annotations lvis_v0.5_val.json --verify --per-class classes.csv",
    ),
    "compare": (
        "compare mine.json theirs.json --coco-annotations instances_val2017.json",
        "compare demo/mask_rcnn-small_fpn-small-glyphs-seed0/accuracy "
        "demo/point_rend-small_fpn-small-glyphs-seed0/accuracy",
        "compare demo/mask_rcnn-small_fpn-small-glyphs-seed0 demo/point_rend-small_fpn-small-glyphs-seed0  # by all",
    ),
    "explain": (
        "explain heads/mask_rcnn-r50_fpn-paper-none-seed0/flops",
        "explain demo/effseg-sps-sfm-small_fpn-small-glyphs-seed0/accuracy --results results",
    ),
    "predict": (
        "predict photo.jpg                        # predictions/photo.jpg, with the shipped weights",
        "predict photos --weights weights --head point_rend --out masks",
        "predict 'photos/**/*.png' --boxes boxes.json --min-score 0.5",
    ),
    "report": (
        "report                             # results/ to report/index.html",
        "report --results old --out page    # another store, another folder",
    ),
    "prepare": (
        "prepare glyphs --out glyphs --images 200",
        "prepare split --data mine --val 0.2 --seed 0   # annotation files of two parts; no picture is copied",
        "prepare lvis --lvis-annotations lvis_v0.5_val.json --out cocofied.json",
    ),
    "import": (
        "import detseg checkpoint.pth --out weights        # one of the authors' four models, from their page",
        "import detseg checkpoint.pth --dry-run            # which tensor becomes which, and how",
        "import detseg checkpoint.pth --entry model_ema    # of a checkpoint with several sets of weights",
        "import torchvision maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth --out weights",
    ),
    "train": (
        "train glyphs --heads my_head --out weights      # beside the shipped heads, on their detector",
        "train 12ep --coco coco --device cuda            # the paper's schedule",
        "train heads-on-frozen --coco coco --weights weights --device cuda  # all heads on one imported detector",
        "train 12ep --coco coco --device cuda --seeds 1  # torchrun --nproc-per-node 8 run_bench.py ... on 8 GPUs",
    ),
}

_OF_EACH = tuple(examples[0].partition(" #")[0].rstrip() for examples in EXAMPLES.values())

COMPLETION = 'Completion of the installed command: eval "$(run-bench --tyro-print-completion bash)", or zsh.'


def epilogue(arguments: Sequence[str]) -> str:
    """Text below the help that was asked for: the examples of the verb, or one of each."""
    verb = next((argument for argument in arguments if argument in EXAMPLES), None)
    examples = _OF_EACH if verb is None else EXAMPLES[verb]
    return "\n".join(["examples:", *(f"  run_bench.py {example}" for example in examples)])
