"""SAM 2 and EdgeTAM behind the Segmenter protocol: by transformers' streaming sessions (>= 5.23), or by the package
sam2 of a checkout whose build_sam has a streaming predictor (segment-anything-2-real-time)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.errors import DexhotError
from dexhot.perception.weights import given_file

MODELS = {"sam2": "Sam2VideoModel", "edgetam": "EdgeTamVideoModel"}
SOURCES = {"sam2": "hf.co/facebook/sam2.1-hiera-tiny", "edgetam": "hf.co/yonigozlan/EdgeTAM-hf"}
NO_PROMPT = "a streaming segmenter needs a click or a box of the first frame: --prompt."
NOT_STARTED = "start the segmenter with prompts before it follows."


class StreamingMasks:
    """A model and its processor, followed image by image on `device`."""

    def __init__(self, model: Any, processor: Any, device: str = "cpu"):
        self.model, self.processor, self.device = model, processor, device
        self.session: Any = None
        self.names: list[int] = []

    def start(self, color: np.ndarray, prompts: dict[int, np.ndarray]) -> np.ndarray:
        """A click (2,) or box (4,) px for each label. Raises DexhotError without prompts."""
        if not prompts:
            raise DexhotError(NO_PROMPT)
        self.session = self.processor.init_video_session(inference_device=self.device)
        self.names = list(prompts)
        inputs = self.processor(images=color, device=self.device, return_tensors="pt")
        for name, prompt in prompts.items():
            where = np.asarray(prompt, float).tolist()
            given: dict[str, Any] = (
                {"input_boxes": [[where]]}
                if len(where) == 4
                else {"input_points": [[[where]]], "input_labels": [[[1]]]}
            )
            self.processor.add_inputs_to_inference_session(
                inference_session=self.session,
                frame_idx=0,
                obj_ids=[name],
                original_size=inputs.original_sizes[0],
                **given,
            )
        return self._labels(inputs)

    def follow(self, color: np.ndarray) -> np.ndarray:
        """The next image's labels."""
        if self.session is None:
            raise DexhotError(NOT_STARTED)
        return self._labels(self.processor(images=color, device=self.device, return_tensors="pt"))

    def _labels(self, inputs: Any) -> np.ndarray:
        """(H, W) uint8: where several masks overlap, the surest."""
        output = self.model(inference_session=self.session, frame=inputs.pixel_values[0])
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
        """A click (2,) or box (4,) px for each label. Raises DexhotError without prompts."""
        if not prompts:
            raise DexhotError(NO_PROMPT)
        self.predictor.load_first_frame(color)
        for name, prompt in prompts.items():
            where = np.asarray(prompt, np.float32).reshape(-1, 2)
            given = {"bbox": where} if len(where) == 2 else {"points": where, "labels": np.array([1], np.int32)}
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
    folder = given_file(kind, f"{SOURCES[kind]} (its whole folder)")
    try:
        import transformers
    except ImportError as e:
        raise DexhotError(
            f"{kind} needs transformers 5.23 or later: pip install transformers torch torchvision."
        ) from e
    model = getattr(transformers, MODELS[kind]).from_pretrained(folder, local_files_only=True).to(device).eval()
    processor = transformers.Sam2VideoProcessor.from_pretrained(folder, local_files_only=True)
    return StreamingMasks(model, processor, device)
