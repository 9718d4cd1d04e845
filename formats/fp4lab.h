// All of formats/.
#pragma once

#include "formats/catalog.h"
#include "formats/convert.h"
#include "formats/element_format.h"
#include "formats/host_device.h"
#include "formats/philox.h"
#include "formats/policy.h"
#include "formats/rounding.h"
