// The operator as a node of PyTorch's autograd graph, for GPUs.
//
// Python's part of a call takes longer than the kernels of a small map. A call
// of a kind that is known runs here, from the arguments to the launches: it
// allocates, launches what Triton has compiled, and takes its place in the
// graph. Python, in launch.py, teaches it each kind after it has run it
// itself. Every other call is declined; Python runs it, or says what is wrong
// with it. Kernels, their order and their arguments are the same in both.

#include <Python.h>
#include <dlfcn.h>

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/PythonTorchFunctionTLS.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/version.h>

// It is in the name of a node of the graph, which errors show.
namespace sge_mmdet {

using at::Tensor;
using c10::DispatchKeySet;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// --- CUDA's driver, as far as launches need it -----------------------------

using Launch = int (*)(void *function, unsigned, unsigned, unsigned, unsigned,
                       unsigned, unsigned, unsigned shared, void *stream,
                       void **parameters, void **extra);

struct Driver {
  Launch launch = nullptr;
  int (*current)(void **context) = nullptr;
  int (*make_current)(void *context) = nullptr;
  int (*retain)(void **context, int device) = nullptr;
  int (*parameter)(void *function, size_t index, size_t *offset,
                   size_t *size) = nullptr;
  // Launches in place of the driver, on tensors of the CPU.
  Launch stand_in = nullptr;

  // Whether it launches on tensors of a device.
  bool takes(c10::Device device) const {
    return stand_in ? device.is_cpu() : launch && device.is_cuda();
  }

  static Driver &get() {
    static Driver driver;
    return driver;
  }

 private:
  Driver() {
    // PyTorch has loaded it where there is a GPU.
    void *library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (!library)
      return;
    auto find = [library](auto &member, const char *name) {
      member = reinterpret_cast<std::decay_t<decltype(member)>>(
          dlsym(library, name));
    };
    find(launch, "cuLaunchKernel");
    find(current, "cuCtxGetCurrent");
    find(make_current, "cuCtxSetCurrent");
    find(retain, "cuDevicePrimaryCtxRetain");
    find(parameter, "cuFuncGetParamInfo");
    if (!current || !make_current || !retain || !parameter)
      launch = nullptr;
  }
};

// A thread has no context before its first call of CUDA.
void use_context(c10::Device device) {
  auto &driver = Driver::get();
  void *context = nullptr;
  if (driver.stand_in || (driver.current(&context) == 0 && context))
    return;
  TORCH_CHECK(driver.retain(&context, device.index()) == 0 &&
                  driver.make_current(context) == 0,
              "CUDA has no context for ", device);
}

// --- What a call is --------------------------------------------------------

struct Options {
  int64_t groups = 0;
  double eps = 0, norm_eps = 0;
  bool normalize = true;
};

// The members of Inputs in passes.py; undefined tensors for None.
struct Inputs {
  Tensor x, weight, bias, scale, shift, running_mean, running_var, identity;
  Options options;
};

// How a pass is launched; see plan.py.
struct Pass {
  void *function = nullptr;
  unsigned programs = 0, threads = 0, shared = 0;
  // First numbers of each launch.
  std::vector<std::vector<int>> launches;
  std::array<int, 4> sizes{};
  int64_t work = -1;

  bool is_known() const { return work >= 0; }
};

// Everything that decides how a call is launched.
using Key = std::array<int64_t, 11>;

struct Kind {
  Key key{};
  Options options;
  at::MemoryFormat layout = at::MemoryFormat::Contiguous;
  Pass forward, backward;
};

int64_t bits_of(double number) {
  int64_t bits;
  static_assert(sizeof bits == sizeof number, "");
  std::memcpy(&bits, &number, sizeof bits);
  return bits;
}

Key key_of(const Inputs &in, bool has_identity, at::MemoryFormat layout) {
  int64_t types = 0;
  for (const Tensor *tensor :
       {&in.x, &in.weight, &in.bias, &in.scale, &in.shift, &in.running_mean,
        &in.running_var})
    types = types * 64 +
            (tensor->defined() ? 1 + static_cast<int>(tensor->scalar_type())
                               : 0);
  const auto shape = in.x.sizes();
  return {in.x.get_device(),
          types,
          shape[0],
          shape[1],
          shape[2],
          shape[3],
          static_cast<int64_t>(layout),
          in.options.groups * 4 + has_identity * 2 + in.options.normalize,
          bits_of(in.options.eps),
          bits_of(in.options.norm_eps),
          in.running_mean.defined()};
}

// Kinds stay where they are, since graphs hold their numbers; what is looked
// up begins anew when it becomes long.
constexpr size_t MOST_KINDS = 4096;
std::mutex mutex;
std::map<Key, size_t> numbers;
std::vector<std::shared_ptr<const Kind>> kinds;

// --- Which calls are taken -------------------------------------------------

at::MemoryFormat layout_of(const Tensor &x) {
  // As _layout in execution.py.
  if (x.is_contiguous() || x.stride(1) != 1 || x.size(1) == 1)
    return at::MemoryFormat::Contiguous;
  return at::MemoryFormat::ChannelsLast;
}

// Whether a tensor is no more than its memory, which Triton's kernels take:
// no subclass, no view that negates, no batch of vmap.
bool is_plain(const Tensor &tensor, const Tensor &x) {
  static const uint64_t usual =
      (DispatchKeySet({c10::DispatchKey::Dense,
                       c10::DispatchKey::ADInplaceOrView}) |
       c10::autograd_dispatch_keyset | c10::autocast_dispatch_keyset)
          .raw_repr() |
      c10::full_backend_mask;
  if ((tensor.key_set().raw_repr() & ~usual) ||
      tensor.device() != x.device() || !tensor.is_floating_point())
    return false;
  const auto address = reinterpret_cast<uintptr_t>(tensor.data_ptr());
  return address && address % 16 == 0;
}

bool is_map(const Tensor &tensor, const Tensor &x, at::MemoryFormat layout) {
  return is_plain(tensor, x) && tensor.scalar_type() == x.scalar_type() &&
         tensor.sizes() == x.sizes() && tensor.is_contiguous(layout);
}

bool is_vector(const Tensor &tensor, const Tensor &x, at::IntArrayRef shape) {
  return is_plain(tensor, x) && tensor.sizes() == shape &&
         tensor.is_contiguous();
}

// Whether nothing looks on at what runs in this thread: no mode, no trace, no
// transform. Autocast does not touch the operator.
bool is_unwatched() {
  const auto tls = c10::impl::tls_local_dispatch_key_set();
  const auto others =
      tls.included_ -
      (c10::default_included_set | c10::autocast_dispatch_keyset);
  // Below autograd, as in the kernel of an operator, there is no graph.
  const bool has_graph = (tls.excluded_ & c10::autograd_dispatch_keyset).empty();
  return others.empty() &&
         (has_graph || c10::InferenceMode::is_enabled()) &&
         !at::impl::torch_function_mode_enabled();
}

bool takes(const Inputs &in, at::MemoryFormat layout) {
  const Tensor &x = in.x;
  const auto groups = in.options.groups;
  if (x.dim() != 4 || x.numel() == 0 || groups < 1 || x.size(1) % groups ||
      !(in.options.eps > 0) || !Driver::get().takes(x.device()))
    return false;
  const auto type = x.scalar_type();
  if (type != at::kFloat && type != at::kHalf && type != at::kBFloat16)
    return false;
  const int64_t of_groups[] = {1, groups, 1, 1};
  const int64_t of_channels[] = {x.size(1)};
  if (!is_map(x, x, layout) || !is_vector(in.weight, x, of_groups) ||
      !is_vector(in.bias, x, of_groups) ||
      (in.identity.defined() && !is_map(in.identity, x, layout)))
    return false;
  for (const Tensor *vector :
       {&in.scale, &in.shift, &in.running_mean, &in.running_var})
    if (vector->defined() && !is_vector(*vector, x, of_channels))
      return false;
  // Statistics are fixed: Python says what of those that want gradients.
  if (at::GradMode::is_enabled())
    for (const Tensor *vector : {&in.running_mean, &in.running_var})
      if (vector->defined() && vector->requires_grad())
        return false;
  return in.running_mean.defined() == in.running_var.defined() &&
         (in.scale.defined() ||
          !(in.shift.defined() || in.running_mean.defined()));
}

bool wants_gradients(const Inputs &in) {
  if (!at::GradMode::is_enabled())
    return false;
  for (const Tensor *tensor :
       {&in.x, &in.weight, &in.bias, &in.scale, &in.shift, &in.identity})
    if (tensor->defined() && tensor->requires_grad())
      return true;
  return false;
}

// --- Launches --------------------------------------------------------------

// The parameters of a kernel in their order; None is none of them.
class Parameters {
 public:
  void add(std::initializer_list<const Tensor *> tensors) {
    for (const Tensor *tensor : tensors)
      if (tensor->defined())
        add_address(tensor->data_ptr());
  }

  void add_address(void *address) {
    TORCH_INTERNAL_ASSERT(used_ < addresses_.size() && count_ < all_.size());
    addresses_[used_] = address;
    all_[count_++] = &addresses_[used_++];
  }

  template <class Number> void add_number(const Number &number) {
    TORCH_INTERNAL_ASSERT(count_ < all_.size());
    all_[count_++] = const_cast<Number *>(&number);
  }

  void **all() { return all_.data(); }

 private:
  std::array<void *, 32> all_{};
  std::array<void *, 24> addresses_{};
  size_t count_ = 0, used_ = 0;
};

// Some versions of Triton add addresses of memory that a kernel does not use.
constexpr int SCRATCH = 2;

// Launches a pass; tensors and images are those of its kernel in Python.
void launch(const Pass &pass, std::initializer_list<const Tensor *> tensors,
            int images, const Options &options, void *stream) {
  const auto &driver = Driver::get();
  const auto call = driver.stand_in ? driver.stand_in : driver.launch;
  const float eps = static_cast<float>(options.eps);
  const float norm_eps = static_cast<float>(options.norm_eps);
  for (const auto &phases : pass.launches) {
    Parameters parameters;
    parameters.add(tensors);
    for (const int &phase : phases)
      parameters.add_number(phase);
    for (const int &size : pass.sizes)
      parameters.add_number(size);
    if (images)
      parameters.add_number(images);
    parameters.add_number(eps);
    parameters.add_number(norm_eps);
    for (int i = 0; i < SCRATCH; ++i)
      parameters.add_address(nullptr);
    const int status =
        call(pass.function, pass.programs, 1, 1, pass.threads, 1, 1,
             pass.shared, stream, parameters.all(), nullptr);
    TORCH_CHECK(status == 0, "CUDA did not launch a kernel of SGE: error ",
                status, " of cuLaunchKernel");
  }
}

// Outputs of passes.py.
struct Outputs {
  Tensor y, mean, spread;
};

Outputs run_forward(const Inputs &in, const Kind &kind, void *stream) {
  const c10::OptionalDeviceGuard guard(in.x.device());
  use_context(in.x.device());
  const auto sums = in.x.options().dtype(at::kFloat);
  const auto images = in.x.size(0);
  const Outputs out = {
      at::empty_like(in.x, kind.layout),
      at::empty({images, in.x.size(1)}, sums),
      at::empty({images, kind.options.groups, 2}, sums)};
  const Tensor work = at::empty({kind.forward.work}, sums);
  launch(kind.forward,
         {&in.x, &in.weight, &in.bias, &in.scale, &in.shift,
          &in.running_mean, &in.running_var, &in.identity, &out.y, &out.mean,
          &out.spread, &work},
         0, kind.options, stream);
  return out;
}

// --- The node --------------------------------------------------------------

// Older versions of PyTorch have a type of their own.
#if TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR < 5
using MaybeTensor = c10::optional<Tensor>;
#else
using MaybeTensor = std::optional<Tensor>;
#endif

MaybeTensor if_defined(const Tensor &tensor) {
  return tensor.defined() ? MaybeTensor(tensor) : MaybeTensor();
}

// Names of what a graph keeps beside tensors: the number of the kind, the
// stream of the forward pass, and PyTorch's name of it.
const char *KIND = "kind", *STREAM = "stream", *STREAM_ID = "stream_id";

int64_t current_stream_id(c10::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device).id();
}

class Enhance : public torch::autograd::Function<Enhance> {
 public:
  static Tensor forward(AutogradContext *ctx, const Tensor &x,
                        const Tensor &weight, const Tensor &bias,
                        const MaybeTensor &, const MaybeTensor &,
                        const MaybeTensor &, const Inputs &in,
                        const Kind &kind, int64_t number, int64_t stream) {
    const auto out = run_forward(in, kind, reinterpret_cast<void *>(stream));
    ctx->set_materialize_grads(false);
    ctx->saved_data[KIND] = number;
    ctx->saved_data[STREAM] = stream;
    ctx->saved_data[STREAM_ID] = current_stream_id(x.device());
    // In Python's order: a checkpoint compares them with what a second forward
    // pass saves, which may take the other way.
    ctx->save_for_backward({x, in.identity.defined() ? out.y : Tensor(),
                            out.mean, out.spread, weight, bias, in.scale,
                            in.shift, in.running_mean, in.running_var});
    return out.y;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    variable_list none(10);
    if (!grads[0].defined())
      return none;
    const auto saved = ctx->get_saved_variables();
    std::shared_ptr<const Kind> kind;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      kind = kinds[ctx->saved_data[KIND].toInt()];
    }
    const auto stream =
        reinterpret_cast<void *>(ctx->saved_data[STREAM].toInt());
    const Tensor &x = saved[0];
    const bool may_launch =
        !at::GradMode::is_enabled() && is_unwatched() &&
        is_of_kind(saved, *kind) && Driver::get().takes(x.device()) &&
        ctx->saved_data[STREAM_ID].toInt() == current_stream_id(x.device());
    Tensor grad = grads[0];
    if (may_launch && !is_map(grad, x, kind->layout))
      grad = grad.contiguous(kind->layout);
    if (may_launch && is_map(grad, x, kind->layout))
      return launch_backward(grad, saved, *kind, stream);
    return call_backward(grads[0], saved, *kind);
  }

 private:
  // Whether tensors are what was saved. Hooks may have given back others, and
  // the data of a parameter may have been replaced.
  static bool is_of_kind(const variable_list &saved, const Kind &kind) {
    const Tensor &x = saved[0], &y = saved[1], &mean = saved[2],
                 &spread = saved[3];
    Inputs in{x,        saved[4], saved[5], saved[6],    saved[7],
              saved[8], saved[9], {},       kind.options};
    if (x.dim() != 4 || !is_map(x, x, kind.layout) ||
        (y.defined() && !is_map(y, x, kind.layout)) ||
        key_of(in, y.defined(), kind.layout) != kind.key)
      return false;
    const auto groups = kind.options.groups;
    const int64_t of_groups[] = {1, groups, 1, 1}, of_channels[] = {x.size(1)},
                  of_mean[] = {x.size(0), x.size(1)},
                  of_spread[] = {x.size(0), groups, 2};
    for (const Tensor *vector :
         {&in.scale, &in.shift, &in.running_mean, &in.running_var})
      if (vector->defined() && !is_vector(*vector, x, of_channels))
        return false;
    return is_vector(in.weight, x, of_groups) &&
           is_vector(in.bias, x, of_groups) && is_vector(mean, x, of_mean) &&
           is_vector(spread, x, of_spread) &&
           mean.scalar_type() == at::kFloat &&
           spread.scalar_type() == at::kFloat;
  }

  static variable_list launch_backward(const Tensor &grad,
                                       const variable_list &saved,
                                       const Kind &kind, void *stream) {
    const Tensor &x = saved[0], &y = saved[1], &weight = saved[4],
                 &bias = saved[5], &scale = saved[6], &shift = saved[7];
    const c10::OptionalDeviceGuard guard(x.device());
    use_context(x.device());
    const auto sums = x.options().dtype(at::kFloat);
    // Sums are made in their own type and rounded once.
    auto like = [&sums](const Tensor &parameter) {
      return parameter.defined() ? at::empty(parameter.sizes(), sums)
                                 : Tensor();
    };
    const Tensor of_x = at::empty_like(x, kind.layout);
    Tensor of_weight = like(weight), of_bias = like(bias),
           of_scale = like(scale), of_shift = like(shift);
    const Tensor of_identity =
        y.defined() ? at::empty_like(x, kind.layout) : Tensor();
    const Tensor work = at::empty({kind.backward.work}, sums);
    launch(kind.backward,
           {&grad, &x, &y, &weight, &bias, &scale, &shift, &saved[8],
            &saved[9], &saved[2], &saved[3], &work, &of_x, &of_weight,
            &of_bias, &of_scale, &of_shift, &of_identity},
           static_cast<int>(x.size(0)), kind.options, stream);
    auto as = [](const Tensor &gradient, const Tensor &parameter) {
      return gradient.defined() ? gradient.to(parameter.scalar_type())
                                : gradient;
    };
    return {of_x,
            as(of_weight, weight),
            as(of_bias, bias),
            as(of_scale, scale),
            as(of_shift, shift),
            of_identity,
            {},
            {},
            {},
            {}};
  }

  // Through PyTorch's dispatcher, which knows modes and second derivatives.
  static variable_list call_backward(const Tensor &grad,
                                     const variable_list &saved,
                                     const Kind &kind) {
    static const auto operation =
        c10::Dispatcher::singleton().findSchemaOrThrow(
            "sge_mmdet::enhance_backward", "");
    std::vector<c10::IValue> stack = {grad};
    for (const Tensor &tensor : saved) {
      if (tensor.defined())
        stack.emplace_back(tensor);
      else
        stack.emplace_back();
    }
    const Options &options = kind.options;
    stack.emplace_back(options.groups);
    stack.emplace_back(options.eps);
    stack.emplace_back(options.norm_eps);
    stack.emplace_back(options.normalize);
    operation.callBoxed(&stack);
    variable_list gradients(10);
    // Gradients that do not exist have no elements.
    const bool exist[] = {true, true, true, saved[6].defined(),
                          saved[7].defined(), saved[1].defined()};
    for (size_t i = 0; i < 6; ++i)
      if (exist[i])
        gradients[i] = stack[i].toTensor();
    return gradients;
  }
};

// --- Python ----------------------------------------------------------------

// Function of PyTorch that returns the current stream of a GPU.
PyObject *current_stream = nullptr;

bool read_tensor(PyObject *object, Tensor &tensor) {
  if (object == Py_None)
    return true;
  // A subclass may do more than its memory says.
  if (!THPVariable_CheckExact(object))
    return false;
  tensor = THPVariable_Unpack(object);
  return true;
}

bool read_number(PyObject *object, double &number) {
  if (!PyFloat_CheckExact(object))
    return false;
  number = PyFloat_AS_DOUBLE(object);
  return true;
}

// Reads Inputs of passes.py; returns whether it is all of usual types.
bool read_inputs(PyObject *object, Inputs &in) {
  if (!PyTuple_Check(object) || PyTuple_GET_SIZE(object) != 8)
    return false;
  auto item = [object](int i) { return PyTuple_GET_ITEM(object, i); };
  if (!read_tensor(item(0), in.x) || !read_tensor(item(1), in.weight) ||
      !read_tensor(item(2), in.bias) || !read_tensor(item(4), in.identity) ||
      !in.x.defined() || !in.weight.defined() || !in.bias.defined())
    return false;
  PyObject *norm = item(3);
  if (norm != Py_None) {
    if (!PyTuple_Check(norm) || PyTuple_GET_SIZE(norm) != 5)
      return false;
    Tensor *vectors[] = {&in.scale, &in.shift, &in.running_mean,
                         &in.running_var};
    for (int i = 0; i < 4; ++i)
      if (!read_tensor(PyTuple_GET_ITEM(norm, i), *vectors[i]))
        return false;
    if (!in.scale.defined() ||
        !read_number(PyTuple_GET_ITEM(norm, 4), in.options.norm_eps))
      return false;
  }
  PyObject *groups = item(5), *normalize = item(7);
  if (!PyLong_CheckExact(groups) || !PyBool_Check(normalize) ||
      !read_number(item(6), in.options.eps))
    return false;
  in.options.groups = PyLong_AsLongLong(groups);
  in.options.normalize = normalize == Py_True;
  if (in.options.groups == -1 && PyErr_Occurred()) {
    PyErr_Clear();
    return false;
  }
  return true;
}

// Returns a kind and its number, or nothing if the call is not taken.
std::shared_ptr<const Kind> find_kind(const Inputs &in, size_t &number) {
  if (in.x.dim() != 4)
    return nullptr;
  const auto layout = layout_of(in.x);
  if (!takes(in, layout) || !is_unwatched())
    return nullptr;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found =
      numbers.find(key_of(in, in.identity.defined(), layout));
  if (found == numbers.end())
    return nullptr;
  number = found->second;
  return kinds[number];
}

PyObject *enhance(PyObject *, PyObject *inputs) {
  HANDLE_TH_ERRORS
  Inputs in;
  size_t number = 0;
  if (!read_inputs(inputs, in))
    Py_RETURN_NONE;
  const auto kind = find_kind(in, number);
  if (!kind || !kind->forward.is_known())
    Py_RETURN_NONE;
  const bool has_gradients = wants_gradients(in);
  if (has_gradients && !kind->backward.is_known())
    Py_RETURN_NONE;
  PyObject *device = PyLong_FromLong(in.x.get_device());
  PyObject *handle =
      PyObject_CallFunctionObjArgs(current_stream, device, nullptr);
  Py_DECREF(device);
  if (!handle)
    return nullptr;
  void *stream = PyLong_AsVoidPtr(handle);
  Py_DECREF(handle);
  Tensor y;
  {
    pybind11::gil_scoped_release release;
    y = has_gradients
            ? Enhance::apply(in.x, in.weight, in.bias, if_defined(in.scale),
                             if_defined(in.shift), if_defined(in.identity), in,
                             *kind, static_cast<int64_t>(number),
                             reinterpret_cast<int64_t>(stream))
            : run_forward(in, *kind, stream).y;
  }
  return THPVariable_Wrap(std::move(y));
  END_HANDLE_TH_ERRORS
}

// Whether a compiled kernel takes the parameters that a launch gives it.
bool has_parameters(const Pass &pass, const Inputs &in, bool is_backward,
                    bool has_identity) {
  const auto &driver = Driver::get();
  if (driver.stand_in)
    return true;
  int norm = 0, gradients = 0;
  for (const Tensor *tensor :
       {&in.scale, &in.shift, &in.running_mean, &in.running_var})
    norm += tensor->defined();
  if (is_backward)
    gradients = 3 + in.scale.defined() + in.shift.defined() + has_identity;
  // x, w, b, y or its gradient, mean, spread and workspace; and the identity,
  // or y with its gradient.
  const int addresses = 7 + has_identity + norm + gradients;
  const int integers =
      static_cast<int>(pass.launches[0].size()) + 4 + is_backward;
  size_t index = 0, offset = 0, size = 0;
  auto next_is = [&](size_t expected) {
    return driver.parameter(pass.function, index++, &offset, &size) == 0 &&
           size == expected;
  };
  for (int i = 0; i < addresses; ++i)
    if (!next_is(sizeof(void *)))
      return false;
  for (int i = 0; i < integers + 2; ++i)
    if (!next_is(sizeof(int)))
      return false;
  for (int i = 0; i < SCRATCH; ++i)
    if (driver.parameter(pass.function, index++, &offset, &size) != 0)
      return true;
    else if (size != sizeof(void *))
      return false;
  return driver.parameter(pass.function, index, &offset, &size) != 0;
}

bool read_pass(PyObject *sizes, PyObject *launches, Pass &pass) {
  for (int i = 0; i < 4; ++i)
    pass.sizes[i] =
        static_cast<int>(PyLong_AsLong(PySequence_Fast_GET_ITEM(sizes, i)));
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(launches); ++i) {
    PyObject *phases = PySequence_Fast_GET_ITEM(launches, i);
    std::vector<int> numbers;
    for (Py_ssize_t j = 0; j < PySequence_Fast_GET_SIZE(phases); ++j)
      numbers.push_back(static_cast<int>(
          PyLong_AsLong(PySequence_Fast_GET_ITEM(phases, j))));
    pass.launches.push_back(std::move(numbers));
  }
  return !PyErr_Occurred();
}

PyObject *learn(PyObject *, PyObject *arguments) {
  HANDLE_TH_ERRORS
  PyObject *inputs, *sizes, *launches;
  int is_backward, has_identity;
  unsigned long long function;
  long long work;
  Pass pass;
  if (!PyArg_ParseTuple(arguments, "OppKIIIO!O!L", &inputs, &is_backward,
                        &has_identity, &function, &pass.programs,
                        &pass.threads, &pass.shared, &PyTuple_Type, &sizes,
                        &PyTuple_Type, &launches, &work))
    return nullptr;
  pass.function = reinterpret_cast<void *>(function);
  pass.work = work;
  Inputs in;
  if (!read_pass(sizes, launches, pass))
    return nullptr;
  if (!read_inputs(inputs, in) || in.x.dim() != 4 ||
      !Driver::get().takes(in.x.device()) ||
      !has_parameters(pass, in, is_backward, has_identity))
    Py_RETURN_FALSE;
  const auto layout = layout_of(in.x);
  const auto key = key_of(in, has_identity, layout);
  const std::lock_guard<std::mutex> lock(mutex);
  if (numbers.size() >= MOST_KINDS)
    numbers.clear();
  const auto found = numbers.find(key);
  auto kind = std::make_shared<Kind>();
  if (found != numbers.end())
    *kind = *kinds[found->second];
  kind->key = key;
  kind->options = in.options;
  kind->layout = layout;
  (is_backward ? kind->backward : kind->forward) = std::move(pass);
  if (found != numbers.end()) {
    kinds[found->second] = std::move(kind);
  } else {
    numbers.emplace(key, kinds.size());
    kinds.push_back(std::move(kind));
  }
  Py_RETURN_TRUE;
  END_HANDLE_TH_ERRORS
}

PyObject *begin(PyObject *, PyObject *function) {
  Py_XDECREF(current_stream);
  Py_INCREF(function);
  current_stream = function;
  return PyBool_FromLong(Driver::get().launch != nullptr);
}

int launch_nothing(void *, unsigned, unsigned, unsigned, unsigned, unsigned,
                   unsigned, unsigned, void *, void **, void **) {
  return 0;
}

PyObject *launch_by(PyObject *, PyObject *address) {
  Launch function = &launch_nothing;
  if (address != Py_None) {
    function = reinterpret_cast<Launch>(PyLong_AsVoidPtr(address));
    if (PyErr_Occurred())
      return nullptr;
  }
  Driver::get().stand_in = function;
  // Kernels of the one are none of the other.
  const std::lock_guard<std::mutex> lock(mutex);
  numbers.clear();
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"begin", begin, METH_O,
     "Take the function that returns the current stream of a GPU; return "
     "whether kernels can be launched."},
    {"enhance", enhance, METH_O,
     "Run the operator, or return None if this call has to go another way."},
    {"learn", learn, METH_VARARGS,
     "Remember how a pass of a kind is launched; return whether it is."},
    {"launch_by", launch_by, METH_O,
     "Launch by the function at an address, on tensors of the CPU: None for "
     "one that does nothing, 0 for CUDA's driver again."},
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef module = {PyModuleDef_HEAD_INIT,
                      "_node",
                      "The operator as a node of autograd's graph.",
                      -1,
                      methods,
                      nullptr,
                      nullptr,
                      nullptr,
                      nullptr};

} // namespace sge_mmdet

PyMODINIT_FUNC PyInit__node() { return PyModule_Create(&sge_mmdet::module); }
