"""The translator: logits, beam search against transformers' own, batches, scores."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import GenerationConfig
from transformers.modeling_outputs import BaseModelOutput

from glossfree.losses import translation_loss
from glossfree.models.hierarchy import HierarchicalEncoder
from glossfree.models.language import LanguageEncoder, mbart
from glossfree.models.mapper import Mapper
from glossfree.models.temporal import TemporalEncoder
from glossfree.models.translator import CODES_AND_MASK, TranslationModel
from glossfree.models.vision import VisualEncoder, dinov2

D, E, VOCABULARY, PIXELS = 14, 18, 60, 28
LANGUAGE = VOCABULARY - 20
LENGTHS = torch.tensor([11, 4, 1, 7])
FORBIDDEN = {0, 1, 3, *range(VOCABULARY - CODES_AND_MASK, VOCABULARY)}


def hierarchy_for(language: torch.nn.Module) -> HierarchicalEncoder:
    return HierarchicalEncoder(
        VisualEncoder(dinov2(12, 2, 3, 2, 14, PIXELS), 12, D),
        TemporalEncoder(D, E, 3, 1, 20, 7, 2, 0.1, 0.1, 0.5),
        LanguageEncoder(language.model.encoder),
        Mapper(E),
    )


@pytest.fixture(scope="module")
def model() -> TranslationModel:
    torch.manual_seed(5)
    language = mbart(VOCABULARY, E, 2, 3, 22, 40, 0.1)
    translator = TranslationModel(hierarchy_for(language), language)
    # lively enough that clips get different sentences, some of which end before the limit
    for name, parameter in translator.named_parameters():
        if parameter.ndim > 1 and "embed_tokens" not in name:
            torch.nn.init.normal_(parameter, std=0.35)
    return translator.eval()


@pytest.fixture(scope="module")
def frames() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (int(LENGTHS.sum()), 3, PIXELS, PIXELS), dtype=torch.uint8, generator=generator)


def stripped(sequence: Tensor) -> list[int]:
    """Ids up to and with `</s>`; what follows must be padding."""
    ids = sequence.tolist()
    end = ids.index(2) + 1 if 2 in ids else len(ids)
    assert set(ids[end:]) <= {1}
    return ids[:end]


def test_logits_are_mbarts_own(model: TranslationModel, frames: Tensor) -> None:
    labels = torch.tensor([[5, 6, 2, LANGUAGE], [7, 2, LANGUAGE, -100], [8, 9, 2, LANGUAGE], [2, LANGUAGE, -100, -100]])
    logits = model(frames, LENGTHS, labels)
    assert logits.shape == (4, 4, VOCABULARY)
    levels = model.hierarchy(frames, LENGTHS)
    fed = model.hierarchy.mapper(levels.segment.values)
    theirs = model.mbart(
        inputs_embeds=fed,
        attention_mask=levels.segment.mask.long(),
        decoder_input_ids=torch.tensor([[LANGUAGE, *row] for row in ([5, 6, 2], [7, 2, 1], [8, 9, 2], [2, 1, 1])]),
    ).logits
    torch.testing.assert_close(logits[labels != -100], theirs[labels != -100], rtol=0, atol=1e-5)
    alone = model(frames[11:15], LENGTHS[1:2], labels[1:2, :3])
    torch.testing.assert_close(logits[1, :3], alone[0], rtol=0, atol=1e-5)


def test_a_clip_is_translated_the_same_alone_and_in_a_batch(model: TranslationModel, frames: Tensor) -> None:
    together = model.translate(frames, LENGTHS, language_id=LANGUAGE, max_new_tokens=12, num_return_sequences=3)
    assert together.sequences.shape[:2] == together.scores.shape == (4, 3)
    sentences = [[stripped(sequence) for sequence in clip] for clip in together.sequences]
    assert len({tuple(clip[0]) for clip in sentences}) > 1, "all clips alike: the test could not fail"
    assert len({len(sequence) for clip in sentences for sequence in clip}) > 1
    for row, clip in enumerate(frames.split(LENGTHS.tolist())):
        alone = model.translate(
            clip, LENGTHS[row : row + 1], language_id=LANGUAGE, max_new_tokens=12, num_return_sequences=3
        )
        assert [stripped(sequence) for sequence in alone.sequences[0]] == sentences[row]
        torch.testing.assert_close(alone.scores[0], together.scores[row], rtol=0, atol=1e-4)


def test_twice_the_same(model: TranslationModel, frames: Tensor) -> None:
    first, second = (model.translate(frames, LENGTHS, language_id=LANGUAGE, max_new_tokens=9) for _ in range(2))
    assert torch.equal(first.sequences, second.sequences)
    assert torch.equal(first.scores, second.scores)


@pytest.mark.parametrize("cache", [True, False])
def test_equal_to_transformers_beam_search_on_the_same_features(
    model: TranslationModel, frames: Tensor, cache: bool
) -> None:
    ours = model.translate(frames, LENGTHS, language_id=LANGUAGE, num_beams=3, max_new_tokens=10, length_penalty=0.7)
    video = model.hierarchy(frames, LENGTHS).video
    theirs = model.mbart.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=video.values), attention_mask=video.mask.long(),
        generation_config=GenerationConfig(
            num_beams=3, max_new_tokens=10, length_penalty=0.7, decoder_start_token_id=LANGUAGE, eos_token_id=2,
            pad_token_id=1, bos_token_id=0, suppress_tokens=sorted(FORBIDDEN), use_cache=cache,
        ),
    )  # fmt: skip
    assert [stripped(each[0]) for each in ours.sequences] == [stripped(each[1:]) for each in theirs]


@pytest.mark.parametrize(("num_beams", "length_penalty"), [(1, 1.0), (1, 0.3), (4, 1.0), (4, 0.3)])
def test_scores_are_log_probabilities_over_length(
    model: TranslationModel, frames: Tensor, num_beams: int, length_penalty: float
) -> None:
    found = model.translate(
        frames, LENGTHS, language_id=LANGUAGE, num_beams=num_beams, max_new_tokens=9, length_penalty=length_penalty
    )
    for row, clip in enumerate(frames.split(LENGTHS.tolist())):
        ids = stripped(found.sequences[row, 0])
        labels = torch.tensor([[*ids, LANGUAGE]])  # the last label makes the language code the start
        logits = model(clip, LENGTHS[row : row + 1], labels)[:, :-1].clone()
        total = -translation_loss(logits, labels[:, :-1]) * len(ids)
        assert float(found.scores[row, 0]) == pytest.approx(total.item() / len(ids) ** length_penalty, abs=1e-4)


def test_n_best_is_sorted_and_distinct(model: TranslationModel, frames: Tensor) -> None:
    found = model.translate(frames, LENGTHS, language_id=LANGUAGE, max_new_tokens=9, num_return_sequences=4)
    for sequences, scores in zip(found.sequences, found.scores, strict=True):
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)
        assert len({tuple(stripped(each)) for each in sequences}) == 4


def test_special_tokens_are_never_written(model: TranslationModel, frames: Tensor) -> None:
    found = model.translate(frames, LENGTHS, language_id=LANGUAGE, max_new_tokens=12, num_return_sequences=4)
    written = {token for clip in found.sequences for sequence in clip for token in stripped(sequence)}
    assert not written & FORBIDDEN
    free = model.translate(frames, LENGTHS, language_id=LANGUAGE, max_new_tokens=12, suppressed=range(4, 30))
    assert {token for each in free.sequences for token in stripped(each[0])} & FORBIDDEN, "suppression had no effect"


def test_another_mbart_than_the_hierarchys_is_refused(model: TranslationModel) -> None:
    with pytest.raises(ValueError, match="language encoder"):
        TranslationModel(model.hierarchy, mbart(VOCABULARY, E, 2, 3, 22, 40, 0.1))


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    language = mbart(VOCABULARY, E, 2, 3, 22, 40, 0.0)
    translator = TranslationModel(hierarchy_for(language), language).train()
    clips = torch.randint(0, 256, (9, 3, PIXELS, PIXELS), dtype=torch.uint8)
    labels = torch.tensor([[5, 2, LANGUAGE], [7, 2, LANGUAGE]])
    translation_loss(translator(clips, torch.tensor([5, 4]), labels), labels, 0.2).backward()
    assert [name for name, p in translator.named_parameters() if p.requires_grad and p.grad is None] == []
