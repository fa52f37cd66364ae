#pragma once

// FORWARD_ABSENT is CUDA_ERROR_STUB_LIBRARY.
#define FORWARD_ABSENT 34

// forward_init starts the driver and returns its answer, FORWARD_ABSENT where there is
// none.
int forward_init(void);

// forward_error returns why the driver's library could not be opened, "" where it could.
const char *forward_error(void);
