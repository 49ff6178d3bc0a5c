using TorchSharp.Interop;

namespace TorchSharp;

public static partial class torch
{
    public partial class Tensor
    {
        public bool requires_grad
        {
            get => Info.RequiresGrad != 0;
            set => Native.Check(Native.tb_set_requires_grad(Handle, value ? 1 : 0));
        }

        /// <summary>The accumulated gradient: a new reference with every call, or null.</summary>
        public Tensor? grad
        {
            get
            {
                nint handle = Native.tb_grad(Handle);
                return handle == 0 ? null : new Tensor(handle);
            }

            set
            {
                Native.Check(Native.tb_set_grad(Handle, value?.Handle ?? 0));
                GC.KeepAlive(value);
            }
        }

        public Tensor requires_grad_(bool requires_grad = true)
        {
            this.requires_grad = requires_grad;
            return this;
        }

        public Tensor with_requires_grad(bool requires_grad = true) => requires_grad_(requires_grad);

        public void retain_grad() => Native.Check(Native.tb_retain_grad(Handle));

        public Tensor detach() => Ops.detach.Call(this);

        public Tensor detach_() => Ops.detach_.InPlace(this);

        public void backward() => autograd.backward(this);

        public void backward(IList<Tensor>? grad_tensors = null, bool retain_graph = false, bool create_graph = false, IList<Tensor>? inputs = null) =>
            autograd.backward(this, grad_tensors, retain_graph, create_graph, inputs);
    }

    public static IDisposable no_grad() => new GradMode(false);

    public static IDisposable enable_grad(bool enabled = true) => new GradMode(enabled);

    public static IDisposable set_grad_enabled(bool mode = true) => new GradMode(mode);

    public static bool is_grad_enabled() => Native.tb_grad_mode() != 0;

    public static IDisposable inference_mode(bool mode = true) => new InferenceModeGuard(mode);

    public static bool is_inference_mode_enabled() => Native.tb_inference_mode() != 0;

    public static partial class autograd
    {
        public static unsafe IList<Tensor> grad(IList<Tensor> outputs, IList<Tensor> inputs, IList<Tensor>? grad_outputs = null, bool retain_graph = false, bool create_graph = false, bool allow_unused = false)
        {
            nint[] roots = Handles(outputs), leaves = Handles(inputs), seeds = Handles(grad_outputs), results = new nint[inputs.Count];
            fixed (nint* pRoots = roots, pLeaves = leaves, pSeeds = seeds, pResults = results)
            {
                Native.Check(Native.tb_gradients(pRoots, roots.Length, pLeaves, leaves.Length, pSeeds, seeds.Length, retain_graph ? 1 : 0, create_graph ? 1 : 0, allow_unused ? 1 : 0, pResults));
            }

            GC.KeepAlive(outputs);
            GC.KeepAlive(inputs);
            GC.KeepAlive(grad_outputs);
            return [.. results.Select(h => h == 0 ? null! : new Tensor(h))];
        }

        public static unsafe void backward(IList<Tensor> tensors, IList<Tensor>? grad_tensors = null, bool? retain_graph = null, bool create_graph = false, IList<Tensor>? inputs = null)
        {
            nint[] roots = Handles(tensors), seeds = Handles(grad_tensors), leaves = Handles(inputs);
            fixed (nint* pRoots = roots, pSeeds = seeds, pLeaves = leaves)
            {
                Native.Check(Native.tb_backward(pRoots, roots.Length, pSeeds, seeds.Length, retain_graph ?? create_graph ? 1 : 0, create_graph ? 1 : 0, pLeaves, leaves.Length));
            }

            GC.KeepAlive(tensors);
            GC.KeepAlive(grad_tensors);
            GC.KeepAlive(inputs);
        }

        public static void backward(Tensor tensor, IList<Tensor>? grad_tensors = null, bool? retain_graph = null, bool create_graph = false, IList<Tensor>? inputs = null) =>
            backward([tensor], grad_tensors, retain_graph, create_graph, inputs);

        public static void backward(Tensor tensor, Tensor grad_tensor, bool? retain_graph = null, bool create_graph = false, IList<Tensor>? inputs = null) =>
            backward([tensor], [grad_tensor], retain_graph, create_graph, inputs);

        private static nint[] Handles(IList<Tensor>? tensors) => tensors is null ? [] : [.. tensors.Select(t => t.Handle)];
    }

    private sealed class GradMode : IDisposable
    {
        private readonly int _before = Native.tb_grad_mode();

        internal GradMode(bool enabled) => Native.tb_set_grad_mode(enabled ? 1 : 0);

        public void Dispose() => Native.tb_set_grad_mode(_before);
    }

    private sealed class InferenceModeGuard(bool mode) : IDisposable
    {
        private nint _guard = Native.Check(Native.tb_inference_enter(mode ? 1 : 0));

        public void Dispose()
        {
            nint guard = Interlocked.Exchange(ref _guard, 0);
            if (guard != 0)
            {
                Native.tb_inference_leave(guard);
            }
        }
    }
}
