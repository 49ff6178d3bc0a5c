using System.Reflection;
using TorchSharp.Modules;
using TorchSharp.Utils;

namespace TorchSharp;

public static partial class torch
{
    public static partial class nn
    {
        public static Parameter Parameter(Tensor data, bool requires_grad = true) => new(data, requires_grad);

        /// <summary>Parameters, buffers and sub-modules by name.</summary>
        public class Module : IDisposable
        {
            protected OrderedDict<string, Module> _internal_submodules = new();
            protected OrderedDict<string, (Tensor, bool)> _internal_buffers = new();
            protected OrderedDict<string, Parameter> _internal_params = new();
            protected string? name;
            private bool _registered;
            private bool _training = true;

            protected Module(string name) => this.name = name;

            public virtual bool training => _training;

            public void Dispose()
            {
                Dispose(true);
                GC.SuppressFinalize(this);
            }

            protected virtual void Dispose(bool disposing)
            {
                if (!disposing)
                {
                    return;
                }

                foreach ((_, (Tensor buffer, _)) in _internal_buffers)
                {
                    buffer.DetachFromDisposeScope().Dispose();
                }

                foreach ((_, Parameter parameter) in _internal_params)
                {
                    parameter.DetachFromDisposeScope().Dispose();
                }

                foreach ((_, Module module) in _internal_submodules)
                {
                    module.Dispose();
                }
            }

            public virtual string GetName() => name ?? GetType().Name;

            public virtual Module apply(Action<Module> fn)
            {
                foreach ((_, Module module) in _internal_submodules)
                {
                    module.apply(fn);
                }

                fn(this);
                return this;
            }

            public virtual void train(bool train = true)
            {
                _training = train;
                foreach ((_, Module module) in named_children())
                {
                    module.train(train);
                }
            }

            public virtual void eval() => train(false);

            public virtual void zero_grad(bool set_to_none = true)
            {
                foreach ((_, Parameter parameter) in named_parameters())
                {
                    if (set_to_none)
                    {
                        parameter.grad = null;
                    }
                    else
                    {
                        using Tensor? gradient = parameter.grad;
                        gradient?.zero_();
                    }
                }
            }

            public virtual IEnumerable<(string name, Tensor buffer)> named_buffers(bool recurse = true, bool include_nonpersistent = true)
            {
                var seen = new HashSet<nint>();
                foreach ((string key, (Tensor buffer, bool persistent)) in _internal_buffers)
                {
                    if ((persistent || include_nonpersistent) && seen.Add(buffer.Handle))
                    {
                        yield return (key, buffer);
                    }
                }

                if (recurse)
                {
                    foreach ((string child, Module module) in _internal_submodules)
                    {
                        foreach ((string key, Tensor buffer) in module.named_buffers(true, include_nonpersistent))
                        {
                            if (seen.Add(buffer.Handle))
                            {
                                yield return ($"{child}.{key}", buffer);
                            }
                        }
                    }
                }
            }

            public virtual IEnumerable<Tensor> buffers(bool recurse = true, bool include_nonpersistent = true) => named_buffers(recurse, include_nonpersistent).Select(b => b.buffer);

            public virtual IEnumerable<(string name, Module module)> named_children() => _internal_submodules;

            public virtual IEnumerable<(string name, Module module)> named_modules()
            {
                foreach ((string, Module) child in _internal_submodules)
                {
                    yield return child;
                }

                foreach ((string child, Module module) in _internal_submodules)
                {
                    foreach ((string key, Module descendant) in module.named_modules())
                    {
                        yield return ($"{child}.{key}", descendant);
                    }
                }
            }

            public virtual IEnumerable<Module> modules() => named_modules().Select(m => m.module);

            public virtual IEnumerable<Module> children() => named_children().Select(m => m.module);

            public virtual IEnumerable<(string name, Parameter parameter)> named_parameters(bool recurse = true)
            {
                var seen = new HashSet<nint>();
                foreach ((string key, Parameter parameter) in _internal_params)
                {
                    if (seen.Add(parameter.Handle))
                    {
                        yield return (key, parameter);
                    }
                }

                if (recurse)
                {
                    foreach ((string child, Module module) in _internal_submodules)
                    {
                        foreach ((string key, Parameter parameter) in module.named_parameters())
                        {
                            if (seen.Add(parameter.Handle))
                            {
                                yield return ($"{child}.{key}", parameter);
                            }
                        }
                    }
                }
            }

            public virtual IEnumerable<Parameter> parameters(bool recurse = true) => named_parameters(recurse).Select(p => p.parameter);

            public virtual Dictionary<string, Tensor> state_dict(Dictionary<string, Tensor>? destination = null, string? prefix = null)
            {
                destination ??= [];
                string before = string.IsNullOrEmpty(prefix) ? "" : prefix + ".";
                foreach ((string key, Parameter parameter) in named_parameters())
                {
                    destination.TryAdd(before + key, parameter);
                }

                foreach ((string key, Tensor buffer) in named_buffers(include_nonpersistent: false))
                {
                    destination.TryAdd(before + key, buffer);
                }

                // Names of tensors that are shared between modules appear once per module.
                foreach ((string child, Module module) in _internal_submodules)
                {
                    module.state_dict(destination, before + child);
                }

                return destination;
            }

            public virtual (IList<string> missing_keys, IList<string> unexpected_keyes) load_state_dict(Dictionary<string, Tensor> source, bool strict = true, IList<string>? skip = null)
            {
                skip ??= [];
                Dictionary<string, Tensor> destination = state_dict();
                List<string> missing = [.. destination.Keys.Where(k => !skip.Contains(k) && !source.ContainsKey(k))];
                List<string> unexpected = [.. source.Keys.Where(k => !skip.Contains(k) && !destination.ContainsKey(k))];
                if (strict && missing.Count + unexpected.Count > 0)
                {
                    throw new InvalidOperationException("The loaded state_dict is not identical to the target dictionary.");
                }

                using IDisposable mode = no_grad();
                foreach ((string key, Tensor value) in source)
                {
                    if (!skip.Contains(key) && destination.TryGetValue(key, out Tensor? target))
                    {
                        target.copy_(value);
                    }
                }

                return (missing, unexpected);
            }

            public virtual bool has_buffer(string target) => get_buffer(target) is not null;

            public virtual bool has_parameter(string target) => get_parameter(target) is not null;

            public virtual Tensor? get_buffer(string target) => named_buffers().FirstOrDefault(b => b.name == target).buffer;

            public virtual Parameter? get_parameter(string target) => named_parameters().FirstOrDefault(p => p.name == target).parameter;

            public virtual void register_buffer(string name, Tensor tensor, bool persistent = true)
            {
                ArgumentNullException.ThrowIfNull(tensor);
                if (!_internal_buffers.TryAdd(name, (tensor, persistent)))
                {
                    throw new InvalidOperationException($"Tensor {name} is already registered.");
                }
            }

            public virtual void register_parameter(string name, Parameter param)
            {
                ArgumentNullException.ThrowIfNull(param);
                if (!_internal_params.TryAdd(name, param))
                {
                    throw new InvalidOperationException($"Parameter {name} is already registered.");
                }
            }

            public void add_module(string name, Module module) => register_module(name, module);

            public virtual void register_module(string name, Module submodule)
            {
                if (submodule is null)
                {
                    _internal_submodules.Remove(name);
                    return;
                }

                if (string.IsNullOrEmpty(name) || name.Contains('.'))
                {
                    throw new ArgumentException($"module name can't be empty or contain \".\", got: \"{name}\"");
                }

                submodule.RegisterComponents();
                if (!_internal_submodules.TryAdd(name, submodule))
                {
                    throw new InvalidOperationException($"Sub-module {name} is already registered.");
                }
            }

            protected void ConditionallyRegisterParameter(string name, Parameter? value)
            {
                _internal_params.Remove(name);
                if (value is not null)
                {
                    register_parameter(name, value);
                }
            }

            protected void ConditionallyRegisterBuffer(string name, Tensor? value, bool persistent = true)
            {
                _internal_buffers.Remove(name);
                if (value is not null)
                {
                    register_buffer(name, value, persistent);
                }
            }

            /// <summary>Registers the fields of the class and of its bases that hold modules, parameters and tensors, under the fields' names.</summary>
            protected virtual void RegisterComponents()
            {
                if (_registered)
                {
                    return;
                }

                _registered = true;
                foreach (FieldInfo field in Fields(GetType()))
                {
                    string component = field.GetCustomAttribute<ComponentNameAttribute>()?.Name ?? field.Name;
                    if (_internal_submodules.ContainsKey(component) || _internal_params.ContainsKey(component) || _internal_buffers.ContainsKey(component))
                    {
                        continue;
                    }

                    switch (field.GetValue(this))
                    {
                        case Module module:
                            register_module(component, module);
                            break;
                        case Parameter parameter:
                            register_parameter(component, parameter);
                            break;
                        case Tensor tensor:
                            register_buffer(component, tensor);
                            break;
                    }
                }
            }

            internal virtual void Convert(ScalarType type)
            {
                foreach ((_, Module module) in _internal_submodules)
                {
                    module.Convert(type);
                }

                using IDisposable mode = no_grad();
                foreach ((string key, Parameter old) in _internal_params.ToArray())
                {
                    if (old.dtype != type && old.is_floating_point())
                    {
                        var parameter = (Parameter)new Parameter(old.to(type), old.requires_grad).DetachFromDisposeScope();
                        _internal_params[key] = parameter;
                        Replace(old, parameter);
                        old.Dispose();
                    }
                }

                foreach ((string key, (Tensor old, bool persistent)) in _internal_buffers.ToArray())
                {
                    if (old.dtype != type && old.is_floating_point())
                    {
                        Tensor buffer = old.to(type).DetachFromDisposeScope();
                        _internal_buffers[key] = (buffer, persistent);
                        Replace(old, buffer);
                        old.Dispose();
                    }
                }
            }

            private void Replace(Tensor old, Tensor now)
            {
                foreach (FieldInfo field in Fields(GetType()))
                {
                    if (ReferenceEquals(field.GetValue(this), old))
                    {
                        field.SetValue(this, now);
                    }
                }
            }

            private static IEnumerable<FieldInfo> Fields(Type type)
            {
                var seen = new HashSet<string>();
                for (Type? t = type; t is not null && t != typeof(Module); t = t.BaseType)
                {
                    foreach (FieldInfo field in t.GetFields(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance))
                    {
                        if (field.DeclaringType != typeof(Module) && seen.Add(field.Name))
                        {
                            yield return field;
                        }
                    }
                }
            }
        }
    }
}
