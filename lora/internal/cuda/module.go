//go:build cuda && cgo

package cuda

// #include <stdlib.h>
// #include "driver.h"
import "C"

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unsafe"
)

// ptxFiles are the modules of this package, made of kernels/ for compute capability 8.0.
//
//go:embed ptx/*.ptx
var ptxFiles embed.FS

// KernelID is a kernel of a module that any device may load.
type KernelID int32

// kernelName is what a KernelID stands for.
type kernelName struct{ module, name string }

// registry holds all kernels of the program. Modules that Register added have their PTX
// in sources.
var registry struct {
	sync.Mutex
	kernels []kernelName
	sources map[string]string
}

// Kernel names a kernel of the module in ptx/module.ptx. It is meant for variables of
// packages: the module is loaded where the kernel is launched first.
func Kernel(module, name string) KernelID {
	registry.Lock()
	defer registry.Unlock()
	return kernelOf(kernelName{module, name})
}

// Register adds a module of PTX under a name of its own and returns its kernels. The same
// module may be registered again, which gives the same kernels.
func Register(module, ptx string, kernels ...string) ([]KernelID, error) {
	registry.Lock()
	defer registry.Unlock()
	if old, again := registry.sources[module]; again && old != ptx {
		return nil, fmt.Errorf("two modules are called %q", module)
	}
	if registry.sources == nil {
		registry.sources = map[string]string{}
	}
	registry.sources[module] = ptx
	ids := make([]KernelID, len(kernels))
	for i, name := range kernels {
		ids[i] = kernelOf(kernelName{module, name})
	}
	return ids, nil
}

// kernelOf returns the number of a kernel, a new one the first time. The registry is
// locked.
func kernelOf(k kernelName) KernelID {
	i := slices.Index(registry.kernels, k)
	if i < 0 {
		i = len(registry.kernels)
		registry.kernels = append(registry.kernels, k)
	}
	return KernelID(i)
}

// name returns what the kernel was registered as.
func (k KernelID) name() kernelName {
	registry.Lock()
	defer registry.Unlock()
	return registry.kernels[k]
}

// String returns the kernel's name.
func (k KernelID) String() string { return k.name().name }

// source returns the PTX of a module.
func source(module string) (string, error) {
	registry.Lock()
	text, registered := registry.sources[module]
	registry.Unlock()
	if registered {
		return text, nil
	}
	data, err := ptxFiles.ReadFile("ptx/" + module + ".ptx")
	return string(data), err
}

// function is a loaded kernel.
type function struct {
	handle C.CUfunction
	shared int // bytes of dynamic shared memory that it may use
}

// defaultShared is what a kernel may use of dynamic shared memory without asking.
const defaultShared = 48 << 10

// Load loads a kernel, if that was not done before. The error does not stick.
func (d *Device) Load(k KernelID) error {
	for int(k) >= len(d.functions) {
		d.functions = append(d.functions, function{shared: defaultShared})
	}
	if d.functions[k].handle != nil {
		return nil
	}
	handle, err := d.load(k.name())
	d.functions[k].handle = handle
	return err
}

// function returns a kernel, which it loads the first time; nil where that failed.
func (d *Device) function(k KernelID) *function {
	if int(k) >= len(d.functions) || d.functions[k].handle == nil {
		if err := d.Load(k); err != nil {
			d.Fail(err)
			return nil
		}
	}
	return &d.functions[k]
}

// load finds a kernel in its module, which it loads the first time.
func (d *Device) load(k kernelName) (handle C.CUfunction, err error) {
	module, loaded := d.modules[k.module]
	if !loaded {
		if module, err = d.loadModule(k.module); err != nil {
			return nil, err
		}
		d.modules[k.module] = module
	}
	name := C.CString(k.name)
	defer C.free(unsafe.Pointer(name))
	if code := C.driver_function(d.context, &handle, module, name); code != C.CUDA_SUCCESS {
		return nil, fmt.Errorf("kernel %s of module %s: %w", k.name, k.module, Error(code))
	}
	return handle, nil
}

// loadModule has the driver compile a module.
func (d *Device) loadModule(name string) (module C.CUmodule, err error) {
	text, err := source(name)
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", name, err)
	}
	image := C.CString(text)
	defer C.free(unsafe.Pointer(image))
	log := make([]byte, 4<<10)
	code := C.driver_module(d.context, &module, image, (*C.char)(unsafe.Pointer(&log[0])), C.size_t(len(log)))
	if code != C.CUDA_SUCCESS {
		detail, _, _ := strings.Cut(string(log), "\x00")
		return nil, fmt.Errorf("loading module %s: %w (%s) %s", name, Error(code), d.memoryText(), strings.TrimSpace(detail))
	}
	return module, nil
}

// unloadModules gives all modules back.
func (d *Device) unloadModules() {
	for _, m := range d.modules {
		C.driver_unload(d.context, m)
	}
	d.modules, d.functions = nil, nil
}
