/* engine_generator.h - a service's generator from a loaded model. */
#ifndef CZ_SERVICE_ENGINE_GENERATOR_H
#define CZ_SERVICE_ENGINE_GENERATOR_H

#include "engine/engine.h"
#include "service/generator.h"

/* The engine has to outlive the generator. */
struct cz_generator cz_engine_generator(struct cz_engine *engine);

#endif
