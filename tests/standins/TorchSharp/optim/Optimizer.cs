using TorchSharp.Modules;
using static TorchSharp.torch;

namespace TorchSharp
{
    public static partial class torch
    {
        public static partial class optim
        {
            public abstract partial class Optimizer : IDisposable
            {
                protected IList<ParamGroup> _parameter_groups = [];

                public virtual IEnumerable<ILearningRateController> ParamGroups => _parameter_groups;

                public abstract Tensor? step(Func<Tensor>? closure = null);

                public virtual void zero_grad()
                {
                    foreach (Parameter parameter in parameters())
                    {
                        using Tensor? gradient = parameter.grad;
                        gradient?.zero_();
                    }
                }

                public virtual IEnumerable<Parameter> parameters() => _parameter_groups.SelectMany(g => g.Parameters);

                public virtual void add_param_group(ParamGroup param_group) => _parameter_groups.Add(param_group);

                public void Dispose()
                {
                    Dispose(true);
                    GC.SuppressFinalize(this);
                }

                protected virtual void Dispose(bool disposing)
                {
                }

                public class StateDictionary
                {
                    internal StateDictionary()
                    {
                    }

                    public List<OptimizerOptions> Options { get; } = [];

                    public List<OptimizerState> State { get; } = [];

                    public List<List<int>> StateIndexRef { get; } = [];
                }
            }

            public interface ILearningRateController
            {
                double LearningRate { get; set; }

                double InitialLearningRate { get; set; }
            }

            public interface IMomentum
            {
                double Momentum { get; set; }
            }

            public interface IBetas
            {
                (double, double) Betas { get; set; }
            }
        }
    }
}

namespace TorchSharp.Modules
{
    /// <summary>Options and state common to the optimizers that are written in C#.</summary>
    public abstract class OptimizerHelper : optim.Optimizer
    {
        protected OptimizerOptions _defaults = new();

        protected Utils.OrderedDict<nint, OptimizerState> _state = new();

        public virtual StateDictionary state_dict()
        {
            var dictionary = new StateDictionary();
            foreach (ParamGroup group in _parameter_groups)
            {
                dictionary.Options.Add(group.Options);
                var indices = new List<int>();
                dictionary.StateIndexRef.Add(indices);
                foreach (Parameter parameter in group.Parameters)
                {
                    indices.Add(dictionary.State.Count);
                    dictionary.State.Add(_state[parameter.Handle]);
                }
            }

            return dictionary;
        }

        public virtual void load_state_dict(StateDictionary state_dict)
        {
            StateDictionary own = this.state_dict();
            if (own.Options.Count != state_dict.Options.Count || own.State.Count != state_dict.State.Count)
            {
                throw new ArgumentException($"Invalid optimizer state -- {state_dict.Options.Count} groups and {state_dict.State.Count} states do not fit {own.Options.Count} and {own.State.Count}.");
            }

            for (int i = 0; i < own.Options.Count; i++)
            {
                if (!ReferenceEquals(own.Options[i], state_dict.Options[i]))
                {
                    own.Options[i].LoadStateDict(state_dict.Options[i]);
                }
            }

            for (int i = 0; i < own.State.Count; i++)
            {
                if (!ReferenceEquals(own.State[i], state_dict.State[i]))
                {
                    own.State[i].LoadStateDict(state_dict.State[i]);
                }
            }
        }

        /// <summary>Runs the body over every group, without gradients, in a dispose scope.</summary>
        protected Tensor? _step<T>(Action<T> body, Func<Tensor>? loss_closure = null)
            where T : ParamGroup
        {
            Tensor? loss = null;
            if (loss_closure is not null)
            {
                using IDisposable grad = enable_grad();
                loss = loss_closure();
            }

            using IDisposable mode = no_grad();
            using DisposeScope scope = NewDisposeScope();
            foreach (ParamGroup group in _parameter_groups)
            {
                body((T)group);
            }

            return loss;
        }

        protected override void Dispose(bool disposing)
        {
            foreach (OptimizerState state in _state.values())
            {
                (state as IDisposable)?.Dispose();
            }

            _state.clear();
        }
    }

    public class OptimizerOptions
    {
        public double? LearningRate { get; set; }

        public double InitialLearningRate { get; set; }

        public virtual void LoadStateDict(OptimizerOptions source)
        {
            LearningRate = source.LearningRate;
            InitialLearningRate = source.InitialLearningRate;
        }
    }

    public abstract class OptimizerState(Parameter parameter)
    {
        protected Parameter _parameter = parameter;

        public abstract void LoadStateDict(OptimizerState source);

        public abstract void Initialize(OptimizerOptions options);

        public virtual bool ApproximatelyEquals(OptimizerState other) => ReferenceEquals(this, other);
    }

    public class ParamGroup : optim.ILearningRateController
    {
        public IEnumerable<Parameter> Parameters { get; set; } = [];

        public OptimizerOptions Options { get; set; } = new();

        public double LearningRate
        {
            get => Options.LearningRate!.Value;
            set => Options.LearningRate = value;
        }

        public double InitialLearningRate
        {
            get => Options.InitialLearningRate;
            set => Options.InitialLearningRate = value;
        }
    }

    public class ParamGroup<TOptions> : ParamGroup
        where TOptions : OptimizerOptions
    {
        public ParamGroup()
        {
        }

        public ParamGroup(IEnumerable<Parameter> parameters, TOptions? options = null)
        {
            Parameters = [.. parameters];
            if (options is not null)
            {
                base.Options = options;
            }
        }

        public new TOptions Options
        {
            get => (TOptions)base.Options;
            set => base.Options = value;
        }
    }
}
