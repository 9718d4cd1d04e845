// Correctly rounded binary32 functions, one source for host and device.
//
// Each function returns the exact real value rounded once to binary32, to nearest even, subnormal
// results included, so its bits do not depend on compiler, instruction set or device. They are
// built from binary64 + - * / (and sqrt) and integer operations on bit patterns alone: no libm, no
// fused operations. Every NaN result is 7FC00000. Floating-point flags are not part of the
// contract.
//
// They ask for the IEEE environment: round to nearest, no flush to zero, no -ffast-math.
// The one-argument functions are held against an independent reference for all 2^32 inputs
// (tests/math); what is known about pow is said at its declaration.
#pragma once

#include "sim/math/exp.h"
#include "sim/math/log.h"
#include "sim/math/logistic.h"
#include "sim/math/normal.h"
#include "sim/math/pow.h"
#include "sim/math/root.h"
#include "sim/math/trig.h"
