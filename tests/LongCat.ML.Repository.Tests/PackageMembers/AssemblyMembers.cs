using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace LongCat.ML.RepositoryTests.PackageMembers;

/// <summary>What an assembly uses of the four user-facing packages, and what one of their assemblies defines.</summary>
internal static class AssemblyMembers
{
    /// <summary>The members and types of the four packages that the assembly's metadata refers to.</summary>
    public static SortedSet<string> Used(string assemblyPath)
    {
        using FileStream stream = File.OpenRead(assemblyPath);
        using PEReader file = new(stream);
        MetadataReader reader = file.GetMetadataReader();
        SortedSet<string> found = new(StringComparer.Ordinal);

        foreach (TypeReferenceHandle handle in reader.TypeReferences)
        {
            if (IsOfPackages(reader, handle))
            {
                found.Add(SignatureText.Instance.GetTypeFromReference(reader, handle, 0));
            }
        }

        foreach (MemberReferenceHandle handle in reader.MemberReferences)
        {
            MemberReference member = reader.GetMemberReference(handle);
            if (ParentReference(reader, member.Parent) is not TypeReferenceHandle parent || !IsOfPackages(reader, parent))
            {
                continue;
            }

            string type = SignatureText.Instance.GetTypeFromReference(reader, parent, 0);
            string name = reader.GetString(member.Name);
            found.Add(member.GetKind() == MemberReferenceKind.Method
                ? SignatureText.Method(type, name, member.DecodeMethodSignature(SignatureText.Instance, null))
                : SignatureText.Field(type, name, member.DecodeFieldSignature(SignatureText.Instance, null)));
        }

        return found;
    }

    /// <summary>Every type, method and field that the assembly defines, public or not.</summary>
    public static IEnumerable<string> Defined(string assemblyPath)
    {
        using FileStream stream = File.OpenRead(assemblyPath);
        using PEReader file = new(stream);
        if (!file.HasMetadata)
        {
            yield break;
        }

        MetadataReader reader = file.GetMetadataReader();
        foreach (TypeDefinitionHandle handle in reader.TypeDefinitions)
        {
            string type = SignatureText.Instance.GetTypeFromDefinition(reader, handle, 0);
            yield return type;
            TypeDefinition definition = reader.GetTypeDefinition(handle);
            foreach (MethodDefinitionHandle method in definition.GetMethods())
            {
                MethodDefinition value = reader.GetMethodDefinition(method);
                yield return SignatureText.Method(type, reader.GetString(value.Name), value.DecodeSignature(SignatureText.Instance, null));
            }

            foreach (FieldDefinitionHandle field in definition.GetFields())
            {
                FieldDefinition value = reader.GetFieldDefinition(field);
                yield return SignatureText.Field(type, reader.GetString(value.Name), value.DecodeSignature(SignatureText.Instance, null));
            }
        }
    }

    /// <summary>Whether the assembly belongs to one of the four packages (the real ones spread over several assemblies).</summary>
    public static bool IsPackageAssembly(string name) =>
        name is "TorchSharp" or "Microsoft.ML" or "Microsoft.ML.Tokenizers" or "Microsoft.ML.OnnxRuntime"
        || (name.StartsWith("Microsoft.ML.", StringComparison.Ordinal) && !name.Contains("Standin", StringComparison.OrdinalIgnoreCase));

    private static bool IsOfPackages(MetadataReader reader, TypeReferenceHandle handle)
    {
        EntityHandle scope = reader.GetTypeReference(handle).ResolutionScope;
        return scope.Kind switch
        {
            HandleKind.AssemblyReference => IsPackageAssembly(reader.GetString(reader.GetAssemblyReference((AssemblyReferenceHandle)scope).Name)),
            HandleKind.TypeReference => IsOfPackages(reader, (TypeReferenceHandle)scope),
            _ => false,
        };
    }

    private static TypeReferenceHandle? ParentReference(MetadataReader reader, EntityHandle parent)
    {
        if (parent.Kind == HandleKind.TypeReference)
        {
            return (TypeReferenceHandle)parent;
        }

        if (parent.Kind != HandleKind.TypeSpecification)
        {
            return null;
        }

        // A generic instantiation: 0x15, class or value type, then the coded index of the generic type.
        BlobReader blob = reader.GetBlobReader(reader.GetTypeSpecification((TypeSpecificationHandle)parent).Signature);
        if (blob.ReadSignatureTypeCode() != SignatureTypeCode.GenericTypeInstance)
        {
            return null;
        }

        blob.ReadCompressedInteger();
        EntityHandle type = blob.ReadTypeHandle();
        return type.Kind == HandleKind.TypeReference ? (TypeReferenceHandle)type : null;
    }
}
