// Entering a driver function, and making one fail on purpose.

#include "driver.h"

#include <cstdarg>
#include <cstdio>
#include <map>
#include <mutex>

namespace emulator {

extern bool is_initialised;         // device.cpp
bool has_context();                 // device.cpp

namespace {

std::recursive_mutex lock;
int depth; // of entries: a driver function that calls another one counts once

// unversioned returns a function's name as programs write it: cuda.h renames many.
std::string unversioned(const char *name) {
	std::string s = name;
	size_t at = s.rfind("_v");
	return at == std::string::npos ? s : s.substr(0, at);
}

// planned returns the code with which this call of a function fails, or 0. The plan is
// NAME:NTH or NAME:NTH:CODE, several with commas between; NTH counts from 1, from the
// time that the plan was set, and 0 means every call.
CUresult planned(const std::string &name) {
	static std::string plan;
	static std::map<std::string, int> calls;
	const char *now = getenv("SOCIALRL_EMULATOR_FAIL");
	if (!now) now = "";
	if (plan != now) plan = now, calls.clear();
	if (plan.empty()) return CUDA_SUCCESS;
	int call = ++calls[name];
	for (size_t at = 0; at < plan.size();) {
		size_t end = std::min(plan.find(',', at), plan.size());
		char who[100];
		int nth = 1, code = CUDA_ERROR_UNKNOWN;
		if (sscanf(plan.substr(at, end - at).c_str(), "%99[^:]:%d:%d", who, &nth, &code) >= 1 &&
		    name == who && (nth == 0 || nth == call)) return CUresult(code);
		at = end + 1;
	}
	return CUDA_SUCCESS;
}

} // namespace

Entry::Entry(const char *name, Needs needs) : refused(CUDA_SUCCESS) {
	lock.lock();
	if (depth++) return;
	refused = planned(unversioned(name));
	if (refused) return;
	if (needs != nothing && !is_initialised) refused = CUDA_ERROR_NOT_INITIALIZED;
	else if (needs == context && !has_context()) refused = CUDA_ERROR_INVALID_CONTEXT;
}

Entry::~Entry() {
	depth--;
	lock.unlock();
}

CUresult complain(CUresult code, const char *format, ...) {
	char text[400];
	va_list list;
	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	fprintf(stderr, "emulator: %s (code %d)\n", text, code);
	return code;
}

size_t bytes_asked(const char *name, size_t otherwise) {
	const char *text = getenv(name);
	if (!text || !*text) return otherwise;
	char *unit;
	size_t n = strtoull(text, &unit, 10);
	return n << (*unit == 'K' ? 10 : *unit == 'M' ? 20 : *unit == 'G' ? 30 : 0);
}

} // namespace emulator
