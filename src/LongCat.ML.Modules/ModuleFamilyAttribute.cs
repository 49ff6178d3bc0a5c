namespace LongCat.ML.Modules;

/// <summary>
/// Registers a family's module: it serves every architecture whose row in the table of families reads the config of this type. The class has
/// a static method <c>Create</c> that takes the config and returns the model.
/// </summary>
/// <param name="configType">A <see cref="Checkpoints.ModelConfig"/>.</param>
[AttributeUsage(AttributeTargets.Class, Inherited = false)]
internal sealed class ModuleFamilyAttribute(Type configType) : Attribute
{
    public Type ConfigType { get; } = configType;
}
