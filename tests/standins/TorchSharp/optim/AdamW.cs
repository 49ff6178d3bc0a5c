using TorchSharp.Interop;
using static TorchSharp.torch;

namespace TorchSharp
{
    public static partial class torch
    {
        public static partial class optim
        {
            public static Modules.AdamW AdamW(IEnumerable<Modules.Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, bool amsgrad = false, bool maximize = false) =>
                new(parameters, lr, beta1, beta2, eps, weight_decay, amsgrad, maximize);

            public static Modules.AdamW AdamW(IEnumerable<(string name, Modules.Parameter parameter)> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, bool amsgrad = false, bool maximize = false) =>
                new(parameters.Select(p => p.parameter), lr, beta1, beta2, eps, weight_decay, amsgrad, maximize);

            public static Modules.AdamW AdamW(IEnumerable<Modules.AdamW.ParamGroup> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, bool amsgrad = false, bool maximize = false) =>
                new(parameters, lr, beta1, beta2, eps, weight_decay, amsgrad, maximize);
        }
    }
}

namespace TorchSharp.Modules
{
    /// <summary>Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2).</summary>
    public class AdamW : OptimizerHelper, optim.IBetas
    {
        public AdamW(IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, bool amsgrad = false, bool maximize = false)
            : this([new ParamGroup { Parameters = [.. parameters] }], lr, beta1, beta2, eps, weight_decay, amsgrad, maximize)
        {
        }

        public AdamW(IEnumerable<ParamGroup> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, bool amsgrad = false, bool maximize = false)
        {
            if (lr < 0 || eps < 0 || beta1 is < 0 or >= 1 || beta2 is < 0 or >= 1 || weight_decay < 0)
            {
                throw new ArgumentException($"Invalid AdamW options: lr {lr}, eps {eps}, betas ({beta1}, {beta2}), weight decay {weight_decay}.");
            }

            _defaults = new Options { LearningRate = lr, InitialLearningRate = lr, beta1 = beta1, beta2 = beta2, eps = eps, weight_decay = weight_decay, amsgrad = amsgrad, maximize = maximize };
            foreach (ParamGroup group in parameters)
            {
                add_param_group(group);
            }
        }

        public (double, double) Betas
        {
            get => (((Options)_defaults).beta1!.Value, ((Options)_defaults).beta2!.Value);
            set => (((Options)_defaults).beta1, ((Options)_defaults).beta2) = value;
        }

        public override void add_param_group(Modules.ParamGroup param_group)
        {
            var defaults = (Options)_defaults;
            Options options = param_group.Options as Options ?? new Options { LearningRate = param_group.Options.LearningRate };
            options.LearningRate ??= defaults.LearningRate;
            options.beta1 ??= defaults.beta1;
            options.beta2 ??= defaults.beta2;
            options.eps ??= defaults.eps;
            options.weight_decay ??= defaults.weight_decay;
            options.amsgrad ??= defaults.amsgrad;
            options.maximize ??= defaults.maximize;
            options.InitialLearningRate = options.LearningRate!.Value;
            param_group.Options = options;
            base.add_param_group(param_group);
            foreach (Parameter parameter in param_group.Parameters)
            {
                var state = new State(parameter);
                state.Initialize(options);
                _state[parameter.Handle] = state;
            }
        }

        public override Tensor? step(Func<Tensor>? closure = null) => _step<Modules.ParamGroup>(Update, closure);

        /// <summary>One update of a group, list-wise: every line is one call for all its parameters that share a step count.</summary>
        private void Update(Modules.ParamGroup group)
        {
            var options = (Options)group.Options;
            double lr = options.LearningRate!.Value, beta1 = options.beta1!.Value, beta2 = options.beta2!.Value;
            var byStep = new Dictionary<long, List<(Parameter Parameter, Tensor Gradient, State State)>>();
            foreach (Parameter parameter in group.Parameters)
            {
                if (parameter.grad is { } gradient)
                {
                    var state = (State)_state[parameter.Handle];
                    state.step++;
                    if (!byStep.TryGetValue(state.step, out var list))
                    {
                        byStep[state.step] = list = [];
                    }

                    list.Add((parameter, options.maximize!.Value ? gradient.neg() : gradient, state));
                }
            }

            foreach ((long step, var list) in byStep)
            {
                Tensor[] parameters = [.. list.Select(i => i.Parameter)], gradients = [.. list.Select(i => i.Gradient)];
                Tensor[] means = [.. list.Select(i => i.State.exp_avg!)], squares = [.. list.Select(i => i.State.exp_avg_sq!)];
                if (options.weight_decay!.Value != 0)
                {
                    Ops._foreach_mul___Scalar.Run(parameters, 1 - (lr * options.weight_decay.Value));
                }

                Ops._foreach_mul___Scalar.Run(means, beta1);
                Ops._foreach_add___List.Run(means, gradients, 1 - beta1);
                Ops._foreach_mul___Scalar.Run(squares, beta2);
                Ops._foreach_addcmul___Scalar.Run(squares, gradients, gradients, 1 - beta2);
                Tensor[] second = squares;
                if (options.amsgrad!.Value)
                {
                    second = [.. list.Select(i => i.State.max_exp_avg_sq!.copy_(i.State.max_exp_avg_sq.maximum(i.State.exp_avg_sq!)))];
                }

                Tensor[] denominators = Ops._foreach_sqrt.List(second);
                Ops._foreach_div___Scalar.Run(denominators, Math.Sqrt(1 - Math.Pow(beta2, step)));
                Ops._foreach_add___Scalar.Run(denominators, options.eps!.Value);
                Ops._foreach_addcdiv___Scalar.Run(parameters, means, denominators, -lr / (1 - Math.Pow(beta1, step)));
            }
        }

        public sealed class State(Parameter parameter) : OptimizerState(parameter), IDisposable
        {
            public long step;
            public Tensor? exp_avg;
            public Tensor? exp_avg_sq;
            public Tensor? max_exp_avg_sq;

            public override void Initialize(OptimizerOptions options)
            {
                Dispose();
                step = 0;
                exp_avg = _parameter.zeros_like().DetachFromDisposeScope();
                exp_avg_sq = _parameter.zeros_like().DetachFromDisposeScope();
                max_exp_avg_sq = ((Options)options).amsgrad == true ? _parameter.zeros_like().DetachFromDisposeScope() : null;
            }

            public override void LoadStateDict(OptimizerState source)
            {
                var other = (State)source;
                using IDisposable mode = no_grad();
                step = other.step;
                exp_avg!.copy_(other.exp_avg!);
                exp_avg_sq!.copy_(other.exp_avg_sq!);
                if (other.max_exp_avg_sq is not null)
                {
                    max_exp_avg_sq?.copy_(other.max_exp_avg_sq);
                }
            }

            public void Dispose()
            {
                exp_avg?.Dispose();
                exp_avg_sq?.Dispose();
                max_exp_avg_sq?.Dispose();
            }
        }

        public class Options : OptimizerOptions
        {
            public double? beta1;
            public double? beta2;
            public double? weight_decay;
            public double? eps;
            public bool? amsgrad;
            public bool? maximize;

            public override void LoadStateDict(OptimizerOptions source)
            {
                base.LoadStateDict(source);
                var other = (Options)source;
                (beta1, beta2, weight_decay, eps, amsgrad, maximize) = (other.beta1, other.beta2, other.weight_decay, other.eps, other.amsgrad, other.maximize);
            }
        }

        public class ParamGroup : ParamGroup<Options>, optim.IBetas
        {
            public ParamGroup()
            {
            }

            public ParamGroup(IEnumerable<Parameter> parameters, Options options)
                : base(parameters, options)
            {
            }

            public ParamGroup(IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, bool amsgrad = false, bool maximize = false)
                : base(parameters, new Options { LearningRate = lr, beta1 = beta1, beta2 = beta2, eps = eps, weight_decay = weight_decay, amsgrad = amsgrad, maximize = maximize })
            {
            }

            public (double, double) Betas
            {
                get => (Options.beta1!.Value, Options.beta2!.Value);
                set => (Options.beta1, Options.beta2) = value;
            }
        }
    }
}
