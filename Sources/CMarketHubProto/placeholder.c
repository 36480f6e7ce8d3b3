#include "market_hub_proto.h"
