using System.Reflection;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>Which emitter writes which family: the classes with <see cref="EmitterFamilyAttribute"/>, found by the type of the config.</summary>
internal static class EmitterTable
{
    private static readonly Dictionary<(Type Config, OperatorSet Operators), Type> Emitters = typeof(EmitterTable).Assembly.GetTypes()
        .Select(type => (Type: type, Family: type.GetCustomAttribute<EmitterFamilyAttribute>()))
        .Where(emitter => emitter.Family is not null)
        .ToDictionary(emitter => (emitter.Family!.ConfigType, emitter.Family.Operators), emitter => emitter.Type);

    /// <summary>The emitter of a configuration.</summary>
    /// <exception cref="CheckpointException">No emitter writes this family with these operators.</exception>
    public static ModelEmitter For(ModelConfig config, OperatorSet operators, string folder) =>
        Emitters.TryGetValue((config.GetType(), operators), out Type? emitter)
            ? (ModelEmitter)Activator.CreateInstance(emitter, BindingFlags.Public | BindingFlags.Instance | BindingFlags.DoNotWrapExceptions, null, [config], null)!
            : throw new CheckpointException(folder, $"architecture {config.Architecture} cannot be exported with {operators switch
            {
                OperatorSet.Standard => "standard operators; export it with the longcat operators",
                _ => "the longcat operators",
            }}.");
}
