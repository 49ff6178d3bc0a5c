using System.Runtime.InteropServices;
using TorchSharp.Interop;

namespace TorchSharp;

public static partial class torch
{
    public static partial class autograd
    {
        /// <summary>What a function's forward pass keeps for its backward pass.</summary>
        public class AutogradContext : IDisposable
        {
            private readonly Dictionary<string, object> _data = [];

            internal AutogradContext()
            {
            }

            internal List<Tensor> Saved { get; set; } = [];

            internal List<Tensor> NonDifferentiable { get; set; } = [];

            internal bool[] IsTensor { get; set; } = [];

            internal nint Node { get; set; }

            public bool MaterializeGrads { get; private set; } = true;

            public void save_for_backward(List<Tensor> tensors) => Saved = tensors;

            public void save_data(string key, object value) => _data[key] = value;

            public object? get_data(string key) => _data.GetValueOrDefault(key);

            public void mark_non_differentiable(List<Tensor> tensors) => NonDifferentiable = [.. tensors];

            public void set_materialize_grads(bool value) => MaterializeGrads = value;

            /// <summary>The tensors of <see cref="save_for_backward"/>; throws when one of them was written to since.</summary>
            public unsafe List<Tensor> get_saved_variables()
            {
                nint[] handles = new nint[Native.Check(Native.tb_node_saved(Node, null))];
                fixed (nint* p = handles)
                {
                    Native.Check(Native.tb_node_saved(Node, p));
                }

                return [.. handles.Select(h => h == 0 ? null! : new Tensor(h))];
            }

            public void Dispose()
            {
            }
        }

        public abstract class Function<T>
            where T : Function<T>, new()
        {
            private static readonly T s_instance = new();

            public abstract string Name { get; }

            internal abstract List<Tensor> Forward(AutogradContext ctx, object[] vars);

            internal abstract List<Tensor> Backward(AutogradContext ctx, List<Tensor> gradients);

            /// <summary>Runs the forward pass without a graph and hangs one node over its outputs.</summary>
            protected static unsafe List<Tensor> Apply(object[] vars)
            {
                var context = new AutogradContext { IsTensor = [.. vars.Select(v => v is Tensor)] };
                Tensor[] inputs = [.. vars.OfType<Tensor>()];
                bool record = is_grad_enabled() && inputs.Any(t => t.requires_grad);
                List<Tensor> outputs;
                using (no_grad())
                {
                    outputs = s_instance.Forward(context, vars);
                    for (int i = 0; i < outputs.Count; i++)
                    {
                        // An input handed through is another tensor as far as the graph is concerned.
                        if (inputs.Any(t => t.Handle == outputs[i].Handle))
                        {
                            outputs[i] = outputs[i].detach();
                        }
                    }
                }

                if (!record)
                {
                    return outputs;
                }

                long id = FunctionCallbacks.Register(s_instance.Name, context, s_instance.Backward);
                nint[] handles = [.. inputs.Select(t => t.Handle)], saved = [.. context.Saved.Select(t => t is null ? 0 : t.Handle)];
                fixed (nint* pHandles = handles, pSaved = saved)
                {
                    nint node = Native.Check(Native.tb_node_new(id, pHandles, handles.Length, context.MaterializeGrads ? 1 : 0));
                    try
                    {
                        foreach (Tensor output in outputs)
                        {
                            if (!context.NonDifferentiable.Contains(output))
                            {
                                Native.Check(Native.tb_node_output(node, output.Handle));
                            }
                        }

                        Native.Check(Native.tb_node_save(node, pSaved, saved.Length));
                    }
                    finally
                    {
                        // The graph must not be kept alive by what it keeps alive itself.
                        context.Saved = [];
                        context.NonDifferentiable = [];
                        Native.tb_node_free(node);
                    }
                }

                GC.KeepAlive(inputs);
                return outputs;
            }
        }

        public abstract class SingleTensorFunction<T> : Function<T>
            where T : SingleTensorFunction<T>, new()
        {
            public static Tensor apply(params object[] vars) => Apply(vars)[0];

            public abstract Tensor forward(AutogradContext ctx, params object[] vars);

            public abstract List<Tensor> backward(AutogradContext ctx, Tensor grad_output);

            internal sealed override List<Tensor> Forward(AutogradContext ctx, object[] vars) => [forward(ctx, vars)];

            internal sealed override List<Tensor> Backward(AutogradContext ctx, List<Tensor> gradients) => backward(ctx, gradients[0]);
        }

        public abstract class MultiTensorFunction<T> : Function<T>
            where T : MultiTensorFunction<T>, new()
        {
            public static List<Tensor> apply(params object[] vars) => Apply(vars);

            public abstract List<Tensor> forward(AutogradContext ctx, params object[] vars);

            public abstract List<Tensor> backward(AutogradContext ctx, List<Tensor> grad_outputs);

            internal sealed override List<Tensor> Forward(AutogradContext ctx, object[] vars) => forward(ctx, vars);

            internal sealed override List<Tensor> Backward(AutogradContext ctx, List<Tensor> gradients) => backward(ctx, gradients);
        }
    }

    /// <summary>The way from libtorch's engine back into a managed backward pass.</summary>
    private static unsafe class FunctionCallbacks
    {
        private sealed record Entry(string Name, autograd.AutogradContext Context, Func<autograd.AutogradContext, List<Tensor>, List<Tensor>> Backward);

        static FunctionCallbacks() => Native.tb_node_callbacks(&Run, &Release);

        internal static long Register(string name, autograd.AutogradContext context, Func<autograd.AutogradContext, List<Tensor>, List<Tensor>> backward) =>
            GCHandle.ToIntPtr(GCHandle.Alloc(new Entry(name, context, backward)));

        [UnmanagedCallersOnly]
        private static void Release(long id) => GCHandle.FromIntPtr((nint)id).Free();

        [UnmanagedCallersOnly]
        private static int Run(long id, nint node, nint* gradients, int count, nint* results, int capacity)
        {
            try
            {
                var entry = (Entry)GCHandle.FromIntPtr((nint)id).Target!;
                using DisposeScope scope = NewDisposeScope();
                var list = new List<Tensor>(count);
                for (int i = 0; i < count; i++)
                {
                    list.Add(gradients[i] == 0 ? null! : new Tensor(gradients[i]));
                }

                entry.Context.Node = node;
                List<Tensor> output = entry.Backward(entry.Context, list);
                bool[] isTensor = entry.Context.IsTensor;
                if (output.Count != isTensor.Length)
                {
                    throw new InvalidOperationException($"{entry.Name}.backward gave {output.Count} gradients; forward took {isTensor.Length} arguments.");
                }

                int next = 0;
                for (int i = 0; i < isTensor.Length; i++)
                {
                    if (isTensor[i] && next < capacity)
                    {
                        results[next] = output[i] is null ? 0 : output[i].Handle;
                        if (results[next] != 0)
                        {
                            Native.tb_retain(results[next]);
                        }

                        next++;
                    }
                }

                return next;
            }
            catch (Exception e)
            {
                Native.tb_set_error($"{e.GetType().Name}: {e.Message}");
                return -1;
            }
        }
    }
}
