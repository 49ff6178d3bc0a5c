using System.Reflection;
using Microsoft.ML.Transforms;

namespace Microsoft.ML.Runtime;

/// <summary>How grave a message is.</summary>
public enum ChannelMessageKind
{
    Trace = 0,
    Info = 1,
    Warning = 2,
    Error = 3,
}

/// <summary>What a message gives away.</summary>
[Flags]
public enum MessageSensitivity
{
    None = 0,
    UserData = 1,
    Schema = 2,
    Unknown = ~None,
    All = Unknown,
}

/// <summary>Sends messages to <see cref="MLContext.Log"/>.</summary>
public interface IChannel : IDisposable
{
    void Trace(MessageSensitivity sensitivity, string fmt);

    void Info(MessageSensitivity sensitivity, string fmt);

    void Warning(MessageSensitivity sensitivity, string fmt);

    void Error(MessageSensitivity sensitivity, string fmt);
}

/// <summary>Opens channels.</summary>
public interface IChannelProvider
{
    IChannel Start(string name);
}

/// <summary>The environment of components.</summary>
public interface IHostEnvironment : IChannelProvider
{
    ComponentCatalog ComponentCatalog { get; }

    IHost Register(string name, int? seed = null, bool? verbose = null);
}

/// <summary>The environment of one component, with random numbers of its own.</summary>
public interface IHost : IHostEnvironment
{
    Random Rand { get; }
}

/// <summary>Marks classes that a saved model finds by their contract's name.</summary>
[AttributeUsage(AttributeTargets.Class)]
public abstract class ExtensionBaseAttribute : Attribute
{
    private protected ExtensionBaseAttribute(string contractName) => ContractName = contractName;

    public string ContractName { get; }
}

/// <summary>The classes that loading may create.</summary>
public sealed class ComponentCatalog
{
    private readonly Lock gate = new();
    private readonly HashSet<string> assemblies = [];
    private readonly Dictionary<string, Type> extensions = [];

    internal ComponentCatalog()
    {
    }

    public void RegisterAssembly(Assembly assembly, bool throwOnError = true)
    {
        lock (gate)
        {
            if (!assemblies.Add(assembly.FullName))
            {
                return;
            }

            foreach (Type type in assembly.GetTypes())
            {
                foreach (ExtensionBaseAttribute attribute in type.GetCustomAttributes<ExtensionBaseAttribute>())
                {
                    if (!extensions.TryAdd(attribute.ContractName, type) && throwOnError)
                    {
                        throw new InvalidOperationException($"An extension with contract '{attribute.ContractName}' has already been registered in the ComponentCatalog.");
                    }
                }
            }
        }
    }

    internal object Extension(string contractName)
    {
        lock (gate)
        {
            return extensions.TryGetValue(contractName, out Type type)
                ? Activator.CreateInstance(type)
                : throw new InvalidOperationException($"Unable to locate an extension for the contract '{contractName}'. Ensure you have called "
                    + $"RegisterAssembly with the Assembly that contains a class decorated with a '{typeof(CustomMappingFactoryAttributeAttribute)}'.");
        }
    }
}
