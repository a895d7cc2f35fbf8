#pragma once

#include "normlab/parse/examples.h"
#include "normlab/parse/network.h"
#include "normlab/parse/parser.h"
#include "normlab/parse/reader.h"
#include "normlab/parse/score.h"
#include "normlab/parse/sentence.h"
#include "normlab/parse/stream.h"
#include "normlab/parse/tagger.h"
#include "normlab/parse/transitions.h"
#include "normlab/parse/vocabulary.h"

/// Dependency parsing: treebanks, arc-standard transitions, features, training examples, scores.
namespace normlab::parse {}
