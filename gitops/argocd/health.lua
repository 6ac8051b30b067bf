-- The health of a TranscriptionJob for Argo CD. Its conditions decide; `obj` is the resource as it stands in the cluster.
local function find(kind)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, condition in ipairs(obj.status.conditions) do
      if condition.type == kind then
        return condition
      end
    end
  end
  return {}
end

local message = "Nobody has looked at it yet."
if obj.status ~= nil and obj.status.message ~= nil then
  message = obj.status.message
end

local finished = find("Finished")
if finished.status == "True" then
  -- A cancelled one has done what its spec asks.
  if finished.reason == "Failed" then
    return { status = "Degraded", message = message }
  end
  return { status = "Healthy", message = message }
end
if find("Suspended").status == "True" then
  return { status = "Suspended", message = message }
end
return { status = "Progressing", message = message }
