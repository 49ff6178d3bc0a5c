using System.Collections;
using TorchSharp.Interop;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace TorchSharp.Modules
{
    /// <summary>A tensor that a module learns. It takes over the tensor it is made of.</summary>
    public class Parameter : Tensor
    {
        public Parameter(Tensor data, bool requires_grad = true)
            : base(Take(data, requires_grad, out DisposeScope? scope), register: false) => scope?.Attach(this);

        private static nint Take(Tensor data, bool requires_grad, out DisposeScope? scope)
        {
            scope = data.OwningDisposeScope;
            data.DetachFromDisposeScope();
            data.requires_grad = requires_grad;
            return data.MoveHandle();
        }
    }

    public sealed class Linear : Module<Tensor, Tensor>
    {
        private Parameter? _weight;
        private Parameter? _bias;

        internal Linear(Parameter weight, Parameter? bias)
            : base(nameof(Linear))
        {
            this.weight = weight;
            this.bias = bias;
            in_features = weight.size(1);
            out_features = weight.size(0);
        }

        public long in_features { get; set; }

        public long out_features { get; set; }

        public Parameter weight
        {
            get => _weight!;
            set
            {
                _weight?.Dispose();
                _weight = (Parameter)value.DetachFromDisposeScope();
                ConditionallyRegisterParameter("weight", _weight);
            }
        }

        public Parameter? bias
        {
            get => _bias;
            set
            {
                _bias?.Dispose();
                _bias = (Parameter?)value?.DetachFromDisposeScope();
                ConditionallyRegisterParameter("bias", _bias);
            }
        }

        public override Tensor forward(Tensor tensor) => functional.linear(tensor, weight, bias);

        // The fields carry other names than the state dictionary, so nothing is left to register.
        protected override void RegisterComponents()
        {
        }
    }

    public sealed class Embedding : Module<Tensor, Tensor>
    {
        private readonly long _padding;
        private Parameter? _weight;

        internal Embedding(Parameter weight, long? padding_idx)
            : base(nameof(Embedding))
        {
            this.weight = weight;
            _padding = padding_idx ?? -1;
        }

        public Parameter? weight
        {
            get => _weight;
            set
            {
                _weight = (Parameter)value!.DetachFromDisposeScope();
                ConditionallyRegisterParameter("weight", _weight);
            }
        }

        public override Tensor forward(Tensor input) => Ops.embedding.Call(weight, input, _padding, false, false);

        protected override void RegisterComponents()
        {
        }
    }

    public sealed class LayerNorm : Module<Tensor, Tensor>
    {
        internal LayerNorm(long[] normalized_shape, double eps, Parameter? weight, Parameter? bias)
            : base(nameof(LayerNorm))
        {
            this.normalized_shape = normalized_shape;
            this.eps = eps;
            this.weight = (Parameter?)weight?.DetachFromDisposeScope();
            this.bias = (Parameter?)bias?.DetachFromDisposeScope();
            ConditionallyRegisterParameter("weight", this.weight);
            ConditionallyRegisterParameter("bias", this.bias);
        }

        public Parameter? weight { get; private set; }

        public Parameter? bias { get; private set; }

        public long[] normalized_shape { get; }

        public double eps { get; }

        public override Tensor forward(Tensor tensor) => functional.layer_norm(tensor, normalized_shape, weight, bias, eps);

        protected override void RegisterComponents()
        {
        }
    }

    public sealed class Dropout : Module<Tensor, Tensor>
    {
        internal Dropout(double p, bool inplace)
            : base(nameof(Dropout))
        {
            this.p = p;
            this.inplace = inplace;
        }

        public double p { get; set; }

        public bool inplace { get; set; }

        public override Tensor forward(Tensor tensor) => functional.dropout(tensor, p, training, inplace);
    }

    public sealed class Identity() : Module<Tensor, Tensor>(nameof(Identity))
    {
        public override Tensor forward(Tensor tensor) => tensor.alias();
    }

    public sealed class SiLU() : Module<Tensor, Tensor>(nameof(SiLU))
    {
        public override Tensor forward(Tensor tensor) => tensor.silu();
    }

    public sealed class ReLU() : Module<Tensor, Tensor>(nameof(ReLU))
    {
        public override Tensor forward(Tensor tensor) => tensor.relu();
    }

    public sealed class Tanh() : Module<Tensor, Tensor>(nameof(Tanh))
    {
        public override Tensor forward(Tensor tensor) => tensor.tanh();
    }

    public class Sequential : Module<Tensor, Tensor>
    {
        private readonly List<IModule<Tensor, Tensor>> _modules = [];

        protected internal Sequential(params (string name, Module<Tensor, Tensor> submodule)[] modules)
            : base(nameof(Sequential))
        {
            foreach ((string key, Module<Tensor, Tensor> module) in modules)
            {
                append(key, module);
            }
        }

        public int Count => _modules.Count;

        public IModule<Tensor, Tensor> this[int index] => _modules[index];

        public Sequential append(string name, IModule<Tensor, Tensor> module)
        {
            register_module(name, (Module)module);
            _modules.Add(module);
            return this;
        }

        public Sequential append(IModule<Tensor, Tensor> module) => append(Count.ToString(System.Globalization.CultureInfo.InvariantCulture), module);

        public override Tensor forward(Tensor tensor)
        {
            if (Count == 0)
            {
                return tensor.alias();
            }

            using DisposeScope scope = NewDisposeScope();
            foreach (IModule<Tensor, Tensor> module in _modules)
            {
                tensor = module.call(tensor);
            }

            return tensor.MoveToOuterDisposeScope();
        }

        protected override void RegisterComponents()
        {
        }
    }

    public class ModuleList<T> : Module, IList<T>
        where T : Module
    {
        private readonly List<T> _list = [];

        public ModuleList(params T[] modules)
            : base(nameof(ModuleList<T>)) => _list.AddRange(modules);

        public int Count => _list.Count;

        public bool IsReadOnly => false;

        public T this[int index]
        {
            get => _list[index];
            set => _list[index] = value;
        }

        public void Add(T item) => _list.Add(item);

        public void append(params T[] parameters) => _list.AddRange(parameters);

        public void extend(IEnumerable<T> modules) => _list.AddRange(modules);

        public void Clear() => _list.Clear();

        public bool Contains(T item) => _list.Contains(item);

        public void CopyTo(T[] array, int arrayIndex) => _list.CopyTo(array, arrayIndex);

        public int IndexOf(T item) => _list.IndexOf(item);

        public void Insert(int index, T item) => _list.Insert(index, item);

        public bool Remove(T item) => _list.Remove(item);

        public void RemoveAt(int index) => _list.RemoveAt(index);

        public IEnumerator<T> GetEnumerator() => _list.GetEnumerator();

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

        protected override void RegisterComponents()
        {
            for (int i = _internal_submodules.Count; i < _list.Count; i++)
            {
                register_module(i.ToString(System.Globalization.CultureInfo.InvariantCulture), _list[i]);
            }
        }
    }

    public class ModuleDict<T> : Module, IEnumerable<(string, T)>
        where T : Module
    {
        private readonly Utils.OrderedDict<string, T> _modules = new();

        public ModuleDict()
            : base(nameof(ModuleDict<T>))
        {
        }

        public int Count => _modules.Count;

        public T this[string key]
        {
            get => _modules[key];
            set => _modules[key] = value;
        }

        public void Add(string key, T value) => _modules.Add(key, value);

        public void Add((string, T) item) => _modules.Add(item.Item1, item.Item2);

        public bool ContainsKey(string key) => _modules.ContainsKey(key);

        public bool TryGetValue(string key, [System.Diagnostics.CodeAnalysis.MaybeNullWhen(false)] out T value) => _modules.TryGetValue(key, out value);

        public IEnumerator<(string, T)> GetEnumerator() => _modules.GetEnumerator();

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

        protected override void RegisterComponents()
        {
            foreach ((string key, T module) in _modules)
            {
                if (!_internal_submodules.ContainsKey(key))
                {
                    register_module(key, module);
                }
            }
        }
    }
}

namespace TorchSharp
{
    public static partial class torch
    {
        public static partial class nn
        {
            public static Modules.Linear Linear(long inputSize, long outputSize, bool hasBias = true, Device? device = null, ScalarType? dtype = null)
            {
                Modules.Parameter weight = empty(outputSize, inputSize, dtype, device).AsParameter();
                init.kaiming_uniform_(weight, a: Math.Sqrt(5));
                Modules.Parameter? bias = null;
                if (hasBias)
                {
                    bias = empty(outputSize, dtype, device).AsParameter();
                    double bound = inputSize > 0 ? 1 / Math.Sqrt(inputSize) : 0;
                    init.uniform_(bias, -bound, bound);
                }

                return new Modules.Linear(weight, bias);
            }

            public static Modules.Linear Linear(Modules.Parameter weight, Modules.Parameter? bias = null) => new(weight, bias);

            public static Modules.Embedding Embedding(long num_embeddings, long embedding_dims, long? padding_idx = null, double? max_norm = null, double norm_type = 2.0, bool scale_grad_by_freq = false, bool sparse = false, Device? device = null, ScalarType? dtype = null)
            {
                if (max_norm is not null || scale_grad_by_freq || sparse)
                {
                    throw new NotSupportedException("The stand-in's Embedding knows neither max_norm nor scale_grad_by_freq nor sparse gradients.");
                }

                Modules.Parameter weight = empty(num_embeddings, embedding_dims, dtype, device).AsParameter();
                init.normal_(weight);
                if (padding_idx is not null)
                {
                    using IDisposable mode = no_grad();
                    using Tensor row = weight.select(0, padding_idx.Value);
                    row.zero_();
                }

                return new Modules.Embedding(weight, padding_idx);
            }

            public static Modules.Embedding Embedding_from_pretrained(Tensor embeddings, bool freeze = true, long? padding_idx = null, double? max_norm = null, double norm_type = 2.0, bool scale_grad_by_freq = false, bool sparse = false, Device? device = null, ScalarType? dtype = null) =>
                new(new Modules.Parameter(embeddings.clone(), !freeze), padding_idx);

            public static Modules.LayerNorm LayerNorm(long[] normalized_shape, double eps = 1e-05, bool elementwise_affine = true, bool bias = true, Device? device = null, ScalarType? dtype = null) =>
                new(normalized_shape, eps, elementwise_affine ? ones(normalized_shape, dtype, device).AsParameter() : null, elementwise_affine && bias ? zeros(normalized_shape, dtype, device).AsParameter() : null);

            public static Modules.LayerNorm LayerNorm(long normalized_shape, double eps = 1e-05, bool elementwise_affine = true, bool bias = true, Device? device = null, ScalarType? dtype = null) =>
                LayerNorm([normalized_shape], eps, elementwise_affine, bias, device, dtype);

            public static Modules.Dropout Dropout(double p = 0.5, bool inplace = false) => new(p, inplace);

            public static Modules.Identity Identity() => new();

            public static Modules.SiLU SiLU() => new();

            public static Modules.ReLU ReLU(bool inplace = false) => new();

            public static Modules.Tanh Tanh() => new();

            public static Modules.Sequential Sequential(params (string name, Module<Tensor, Tensor> submodule)[] modules) => new(modules);

            public static Modules.Sequential Sequential(params Module<Tensor, Tensor>[] modules) =>
                new([.. modules.Select((m, i) => (i.ToString(System.Globalization.CultureInfo.InvariantCulture), m))]);

            public static Modules.ModuleList<Module> ModuleList(params Module[] modules) => new(modules);

            public static Modules.ModuleList<T> ModuleList<T>(params T[] modules)
                where T : Module => new(modules);

            public static Modules.ModuleDict<T> ModuleDict<T>(params (string, T)[] modules)
                where T : Module
            {
                var dict = new Modules.ModuleDict<T>();
                foreach ((string, T) item in modules)
                {
                    dict.Add(item);
                }

                return dict;
            }
        }
    }
}
