"""Makes the small model that the example "classify" is tried with.

python tests/reference/sentiment.py engine/examples/classify/model.safetensors
"""

import itertools
import sys

import normlab as nl
from normlab import text

WORDS = {
    "negative": ["bad", "boring", "dull", "stupid", "tedious"],
    "positive": ["good", "charming", "clever", "funny", "moving"],
}
FRAMES = ["{}", "a {} film .", "it 's {} and {} .", "the most {} of {} movies"]


def main(path: str) -> None:
    """Trains on every frame filled with the words of one label."""
    nl.manual_seed(1)
    lines = [
        (text.tokenize(frame.format(first, second)), label)
        for label, (_, words) in enumerate(sorted(WORDS.items()))
        for frame, first, second in itertools.product(FRAMES, words, words)
    ]
    vocabulary = text.Vocabulary.of([words for words, _ in lines])
    batch = text.pack([[vocabulary.number(word) for word in words] for words, _ in lines])
    labels = nl.tensor([label for _, label in lines])
    classifier = text.Classifier(len(vocabulary), 2, size=8, heads=2, hidden=16, layers=1)
    optimizer = nl.optim.Adam(classifier.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        nl.cross_entropy(classifier(batch), labels).backward()
        optimizer.step()
    notes = {"task": "sentiment", "made by": "tests/reference/sentiment.py"}
    text.save_model(path, text.Model(classifier, vocabulary, sorted(WORDS), notes))


if __name__ == "__main__":
    main(sys.argv[1])
