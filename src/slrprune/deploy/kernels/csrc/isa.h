// For the sources that are compiled once per instruction set: ISA(name) is the name with the set's suffix.
#pragma once

#include "slrk.h"
#include "vec.h"

#ifndef SLRK_ISA
#define SLRK_ISA baseline
#endif
#define ISA_GLUE_(name, suffix) slrk_##name##_##suffix
#define ISA_GLUE(name, suffix) ISA_GLUE_(name, suffix)
#define ISA(name) ISA_GLUE(name, SLRK_ISA)
