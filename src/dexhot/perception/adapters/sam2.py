"""SAM 2 and EdgeTAM behind the Segmenter protocol, by transformers' streaming sessions (>= 5.23)."""

from typing import Any

import numpy as np

from dexhot.errors import DexhotError
from dexhot.perception.weights import given_file

MODELS = {"sam2": "Sam2VideoModel", "edgetam": "EdgeTamVideoModel"}
SOURCES = {"sam2": "hf.co/facebook/sam2.1-hiera-tiny", "edgetam": "hf.co/yonigozlan/EdgeTAM-hf"}


class StreamingMasks:
    """A model and its processor, followed image by image on `device`."""

    def __init__(self, model: Any, processor: Any, device: str = "cpu"):
        self.model, self.processor, self.device = model, processor, device
        self.session: Any = None
        self.names: list[int] = []

    def start(self, color: np.ndarray, prompts: dict[int, np.ndarray]) -> np.ndarray:
        """A click (2,) or box (4,) px for each label. Raises DexhotError without prompts."""
        if not prompts:
            raise DexhotError("a streaming segmenter needs a click or a box of the first frame: --prompt.")
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
            raise DexhotError("start the segmenter with prompts before it follows.")
        return self._labels(self.processor(images=color, device=self.device, return_tensors="pt"))

    def _labels(self, inputs: Any) -> np.ndarray:
        """(H, W) uint8: where several masks overlap, the surest."""
        output = self.model(inference_session=self.session, frame=inputs.pixel_values[0])
        masks = self.processor.post_process_masks(
            [output.pred_masks], original_sizes=inputs.original_sizes, binarize=False
        )[0]
        logits = np.asarray(masks.detach().cpu() if hasattr(masks, "detach") else masks, float)
        logits = logits.reshape(len(self.names), *logits.shape[-2:])
        names = np.array(self.names, np.uint8)[logits.argmax(0)]
        return np.where(logits.max(0) > 0, names, 0).astype(np.uint8)


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
