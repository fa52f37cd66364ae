// The row of the table that stands for a kernel, made of its own type.
#pragma once

#include "driver.h"

#include <tuple>
#include <utility>

namespace emulator {

template <auto kernel> struct Caller;

template <class... A, void (*kernel)(A...)> struct Caller<kernel> {
	static constexpr int count = sizeof...(A);
	static constexpr size_t sizes[] = {sizeof(A)..., 0};

	template <size_t... i> static void call(void **arguments, std::index_sequence<i...>) {
		kernel(*static_cast<A *>(arguments[i])...);
	}
	static void invoke(void **arguments) { call(arguments, std::index_sequence_for<A...>()); }
};

template <auto kernel> constexpr Kernel row(const char *name, unsigned bound, char *shared, char *shared_end) {
	return {name, Caller<kernel>::invoke, Caller<kernel>::count, Caller<kernel>::sizes, bound, shared, shared_end};
}

} // namespace emulator
