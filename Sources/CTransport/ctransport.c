#include "ctransport.h"
