// Every register tile, for one way of finding the input of a nonzero: tiles.c includes this file once for each way.

#define R 1
#define T 1
#define U 4
#include "tile.h"
#define R 1
#define T 2
#define U 4
#include "tile.h"
#define R 1
#define T 3
#define U 2
#include "tile.h"
#define R 1
#define T 4
#define U 2
#include "tile.h"
#define R 1
#define T 5
#define U 1
#include "tile.h"
#define R 1
#define T 6
#define U 1
#include "tile.h"
#define R 1
#define T 7
#define U 1
#include "tile.h"
#define R 4
#define T 1
#define U 2
#include "tile.h"
#define R 4
#define T 2
#define U 1
#include "tile.h"
#if LANES == 16 // 28 accumulators and the operands fill 32 registers; with 16 registers two vectors are the most
#define R 4
#define T 3
#define U 1
#include "tile.h"
#define R 4
#define T 4
#define U 1
#include "tile.h"
#define R 4
#define T 5
#define U 1
#include "tile.h"
#define R 4
#define T 6
#define U 1
#include "tile.h"
#define R 4
#define T 7
#define U 1
#include "tile.h"
#endif

#undef WAY
#undef PLACE
