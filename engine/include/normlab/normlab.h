#pragma once

/// The whole engine.
#include "normlab/autograd.h"
#include "normlab/cuda.h"
#include "normlab/error.h"
#include "normlab/info.h"
#include "normlab/io.h"
#include "normlab/nn.h"
#include "normlab/norm.h"
#include "normlab/ops.h"
#include "normlab/optim.h"
#include "normlab/parse.h"
#include "normlab/probe.h"
#include "normlab/random.h"
#include "normlab/scalar.h"
#include "normlab/tensor.h"
#include "normlab/text.h"
#include "normlab/threads.h"
