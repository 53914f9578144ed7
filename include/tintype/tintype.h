/// Everything public.
#pragma once

#include "tintype/cache_counters.h"
#include "tintype/contact_sheet.h"
#include "tintype/engine.h"
#include "tintype/error.h"
#include "tintype/hires.h"
#include "tintype/image.h"
#include "tintype/image_to_image.h"
#include "tintype/inpaint.h"
#include "tintype/mask_options.h"
#include "tintype/measure.h"
#include "tintype/presets.h"
#include "tintype/prompt.h"
#include "tintype/run_context.h"
#include "tintype/similarity.h"
#include "tintype/text_to_image.h"
#include "tintype/upscale.h"
