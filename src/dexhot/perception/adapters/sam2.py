"""SAM 2 and EdgeTAM behind the Segmenter protocol: by transformers' streaming sessions (>= 5.23), or by the package
sam2 of a checkout whose build_sam has a streaming predictor (segment-anything-2-real-time)."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.errors import DexhotError
from dexhot.perception.weights import given_file

MODELS = {"sam2": "Sam2VideoModel", "edgetam": "EdgeTamVideoModel"}
SOURCES = {"sam2": "hf.co/facebook/sam2.1-hiera-tiny", "edgetam": "hf.co/yonigozlan/EdgeTAM-hf"}
CONFIG, CHECKPOINT = "configs/sam2.1/sam2.1_hiera_t.yaml", "sam2.1_hiera_tiny.pt"  # of the package sam2
CHECKPOINTS = "github.com/facebookresearch/sam2 (checkpoints/download_ckpts.sh)"
NEEDS = {"sam2": "", "edgetam": " timm"}  # beside: EdgeTAM's backbone
DECLARED: list[Any] = []
NO_PROMPT = "a streaming segmenter needs a click or a box of the first frame: --prompt."
NOT_STARTED = "start the segmenter with prompts before it follows."


class StreamingMasks:
    """A model and its processor, followed image by image on `device`."""

    def __init__(self, model: Any, processor: Any, device: str = "cpu"):
        self.model, self.processor, self.device = model, processor, device
        self.session: Any = None
        self.names: list[int] = []
        self.number = 0

    def start(self, color: np.ndarray, prompts: dict[int, np.ndarray]) -> np.ndarray:
        """Clicks (2,) or (N, 2), or a box (4,) px, for each label. Raises DexhotError without prompts."""
        if not prompts:
            raise DexhotError(NO_PROMPT)
        self.session = self.processor.init_video_session(inference_device=self.device)
        self.names, self.number = list(prompts), 0
        inputs = self.processor(images=color, device=self.device, return_tensors="pt")
        for name, prompt in prompts.items():
            where = np.asarray(prompt, float)
            clicks = where.reshape(-1, 2).tolist()
            given: dict[str, Any] = (
                {"input_boxes": [[where.tolist()]]}
                if where.shape == (4,)
                else {"input_points": [[clicks]], "input_labels": [[[1] * len(clicks)]]}
            )
            self.processor.add_inputs_to_inference_session(
                inference_session=self.session,
                frame_idx=0,
                obj_ids=[name],
                original_size=inputs.original_sizes[0],
                **given,
            )
        self.session.obj_with_new_inputs = list(self.names)  # each call above leaves its own alone
        return self._labels(inputs)

    def follow(self, color: np.ndarray) -> np.ndarray:
        """The next image's labels."""
        if self.session is None:
            raise DexhotError(NOT_STARTED)
        return self._labels(self.processor(images=color, device=self.device, return_tensors="pt"))

    def _labels(self, inputs: Any) -> np.ndarray:
        """(H, W) uint8: where several masks overlap, the surest."""
        output = self.model(inference_session=self.session, frame=inputs.pixel_values[0], frame_idx=self.number)
        self.session.processed_frames.pop(self.number, None)  # else it keeps every image, 12 MB each
        self.number += 1
        masks = self.processor.post_process_masks(
            [output.pred_masks], original_sizes=inputs.original_sizes, binarize=False
        )[0]
        return surest(masks, self.names)


class CameraMasks:
    """The streaming predictor of the package sam2, as its `build_sam2_camera_predictor` makes it."""

    def __init__(self, predictor: Any):
        self.predictor = predictor
        self.names: list[int] = []

    def start(self, color: np.ndarray, prompts: dict[int, np.ndarray]) -> np.ndarray:
        """Clicks (2,) or (N, 2), or a box (4,) px, for each label. Raises DexhotError without prompts."""
        if not prompts:
            raise DexhotError(NO_PROMPT)
        self.predictor.load_first_frame(color)
        for name, prompt in prompts.items():
            where = np.asarray(prompt, np.float32).reshape(-1, 2)
            clicks = {"points": where, "labels": np.ones(len(where), np.int32)}
            given = {"bbox": where} if np.shape(prompt) == (4,) else clicks
            _, ids, logits = self.predictor.add_new_prompt(frame_idx=0, obj_id=name, **given)
        self.names = list(prompts)
        return surest(logits, ids)

    def follow(self, color: np.ndarray) -> np.ndarray:
        """The next image's labels."""
        if not self.names:
            raise DexhotError(NOT_STARTED)
        ids, logits = self.predictor.track(color)
        return surest(logits, ids)


def surest(logits: Any, names: Sequence[int]) -> np.ndarray:
    """(H, W) uint8 labels from one mask of logits for each name: where several overlap, the surest; 0 for none."""
    found = np.asarray(logits.detach().float().cpu() if hasattr(logits, "detach") else logits, float)
    found = found.reshape(len(names), *found.shape[-2:])
    chosen = np.array(list(names), np.uint8)[found.argmax(0)]
    return np.where(found.max(0) > 0, chosen, 0).astype(np.uint8)


def streams() -> bool:
    """Whether the package sam2 is installed with a streaming predictor, which PyPI's upload lacks; not imported."""
    found = importlib.util.find_spec("sam2")
    places = list(found.submodule_search_locations or ()) if found is not None else []
    files = [Path(place) / "build_sam.py" for place in places]
    return any(path.is_file() and "def build_sam2_camera_predictor" in path.read_text() for path in files)


def weights_of(kind: str) -> Path:
    """The weights that load_masks takes. Raises FileFormatError where they are missing."""
    return given_file(CHECKPOINT, CHECKPOINTS) if kind == "sam2" and streams() else folder_of(kind)


def folder_of(kind: str) -> Path:
    """Of transformers' model. Raises FileFormatError."""
    return given_file(kind, f"{SOURCES[kind]} (its whole folder)")


def load_masks(kind: str, device: str = "cpu") -> "StreamingMasks | CameraMasks":
    """ "sam2" or "edgetam": SAM 2 by its own package where that streams, else by transformers. Raises DexhotError,
    FileFormatError."""
    if kind == "sam2" and streams():
        return load_camera_predictor(CONFIG, weights_of(kind))
    return load_streaming(kind, device)


def load_camera_predictor(config: str, checkpoint: Path) -> CameraMasks:
    """From the installed package sam2. Raises DexhotError where it is missing or does not stream."""
    try:
        from sam2.build_sam import build_sam2_camera_predictor
    except ImportError as e:
        raise DexhotError(
            f"no package sam2 with a streaming predictor ({e}): install a checkout of segment-anything-2-real-time, or "
            "use load_streaming, which takes transformers' sessions."
        ) from e
    return CameraMasks(build_sam2_camera_predictor(config, str(checkpoint)))


def load_streaming(kind: str, device: str = "cpu") -> StreamingMasks:
    """ "sam2" or "edgetam" from weights in the model cache. Raises DexhotError, FileFormatError."""
    if kind not in MODELS:
        raise DexhotError(f"no streaming segmenter {kind!r}; one of {', '.join(MODELS)}.")
    folder = folder_of(kind)
    try:
        torchvision_importable()
        import transformers

        model_class, processor_class = getattr(transformers, MODELS[kind]), transformers.Sam2VideoProcessor
    except (ImportError, AttributeError) as e:
        raise DexhotError(
            f"{kind} needs transformers 5.23 or later ({e}): pip install transformers torch torchvision{NEEDS[kind]}."
        ) from e
    model = model_class.from_pretrained(folder, local_files_only=True, weights_only=True).to(device).eval()
    processor = processor_class.from_pretrained(folder, local_files_only=True)
    return StreamingMasks(model, processor, device)


def torchvision_importable() -> None:
    """PyPI's torchvision beside a torch without CUDA lacks its compiled operators and fails to import; the models here
    call none of them, so that their declarations are enough. Raises ImportError without either package."""
    import torch

    try:
        import torchvision
    except RuntimeError:
        declared = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        DECLARED.append(declared)  # they last as long as it does
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        import torchvision  # noqa: F401
