// What protobuf-c makes of Proto/market_hub.proto; see Scripts/generate.
#ifndef MARKET_HUB_PROTO_H
#define MARKET_HUB_PROTO_H

#include "market_hub.pb-c.h"

#endif
