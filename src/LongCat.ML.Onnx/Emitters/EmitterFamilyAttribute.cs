using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>
/// Registers an emitter: it writes every architecture whose row in the table of families reads the config of this type. The class has a constructor that takes the config.
/// </summary>
/// <param name="configType">A <see cref="ModelConfig"/>.</param>
/// <param name="operators">The operators it writes.</param>
[AttributeUsage(AttributeTargets.Class, Inherited = false)]
internal sealed class EmitterFamilyAttribute(Type configType, OperatorSet operators = OperatorSet.LongCat) : Attribute
{
    public Type ConfigType { get; } = configType;

    public OperatorSet Operators { get; } = operators;
}
